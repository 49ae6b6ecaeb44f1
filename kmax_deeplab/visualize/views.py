"""Other views of an image than its segments: classes, scored things, a chosen segment."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.overlays import draw_panoptic, outline_color, write_inside

TINT = 0.25
"""Share of the outline's colour inside a thing; the rest is the image."""
CHOSEN = (255, 225, 60)
"""RGB of the outline around a chosen segment."""
OTHERS = 0.55
"""Brightness of all else then."""

HATCH = 7
"""Pixels between two lines over void."""
HATCHED = 150
"""Grey of these lines."""


@dataclass(frozen=True)
class ScoredMask:
    """A thing in an image.

    Attributes:
        place: rows and columns of its box.
        mask: (h, w) bool in that box.
        category: index of its class.
        score: in [0, 1].
    """

    place: tuple[slice, slice]
    mask: np.ndarray
    category: int
    score: float

    def enlarged(self, factor: int) -> "ScoredMask":
        """Returns the same in an image that is enlarged by a whole factor."""
        rows, columns = (slice(s.start * factor, s.stop * factor) for s in self.place)
        return ScoredMask((rows, columns), enlarge(self.mask, factor), self.category, self.score)


def enlarge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Repeats each pixel of an (H, W) map in both directions."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_semantic(image: np.ndarray, classes: np.ndarray, categories: Categories) -> np.ndarray:
    """Paints the class of every pixel over an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        classes: (H, W) index of a class at every pixel.
        categories: names and colours of the classes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    seen = np.unique(classes).tolist()
    listed = [{"id": c + 1, "category_id": c, "isthing": False} for c in seen]
    return draw_panoptic(image, classes + 1, listed, categories)


def draw_things(
    image: np.ndarray, things: Iterable[ScoredMask], categories: Categories
) -> np.ndarray:
    """Outlines things, which may overlap, with class and score where they fit.

    Args:
        image: (H, W, 3) uint8 RGB.
        things: the best first.
        categories: names of the classes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture, things = image.copy(), list(things)
    for rank, thing in reversed(list(enumerate(things))):  # the best on top
        color, part = np.array(outline_color(rank)), picture[thing.place]
        part[thing.mask] = (1 - TINT) * part[thing.mask] + TINT * color
        part[thing.mask & ~ndimage.binary_erosion(thing.mask)] = color
    canvas = Image.fromarray(picture)
    for rank, thing in enumerate(things):
        rows, columns = thing.place
        score = f"{thing.score:.2f}"
        for text in (f"{categories.names[thing.category]} {score}", score):
            corner = np.array([columns.start, rows.start])
            if write_inside(canvas, thing.mask, corner, text, outline_color(rank)):
                break
    return np.asarray(canvas).copy()


def point_out(picture: np.ndarray, panoptic: np.ndarray, number: int) -> np.ndarray:
    """Outlines one segment of a picture and dims all else.

    Args:
        picture: (H, W, 3) uint8 RGB.
        panoptic: (H, W) segment ids.
        number: id of the segment.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    mask = panoptic == number
    around = ndimage.binary_dilation(mask, iterations=max(min(mask.shape) // 300, 2)) & ~mask
    pointed = np.where(mask[..., None], picture, (OTHERS * picture).astype(np.uint8))
    pointed[around] = CHOSEN
    return pointed


def hatch(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draws diagonal lines over the pixels of a mask; returns the picture, changed."""
    rows, columns = np.nonzero(mask)
    on_line = (rows + columns) % HATCH == 0
    picture[rows[on_line], columns[on_line]] = HATCHED
    return picture
