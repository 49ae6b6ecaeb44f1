"""Panoptic copy-paste: segments of a second image replace what lies below them.

What enters: what is seen of two labelled images, a size and a random generator. What leaves: one
image of that size with its labels on the stride-4 grid (section "Data", steps 3 and 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.samples.segments import Segment, compact
from kmax_deeplab.data.samples.targets import STRIDE
from kmax_deeplab.data.samples.view import LabelledView
from kmax_deeplab.structures import VOID


@dataclass(frozen=True)
class Scene:
    """An image for training with its labels.

    Attributes:
        image: (H, W, 3) uint8, black where padded.
        is_real: (H, W) bool, False at padded pixels.
        grid_map: (⌈H / 4⌉, ⌈W / 4⌉) int32, index into `segments` of every 4th pixel, VOID where
            unlabelled.
        segments: the segments, each of which has pixels on the grid.
    """

    image: np.ndarray
    is_real: np.ndarray
    grid_map: np.ndarray
    segments: tuple[Segment, ...]


def choose_segments(segments: Sequence[Segment], rng: np.random.Generator) -> np.ndarray:
    """Draws which of M segments to paste: all things and, of all, a random number.

    Returns:
        (M,) bool.
    """
    order = rng.permutation(len(segments))
    count = rng.integers(len(segments) + 1)
    is_chosen = np.array([segment.is_thing for segment in segments], dtype=bool)
    is_chosen[order[:count]] = True
    return is_chosen


def copy_paste(
    main: LabelledView, donor: LabelledView, size: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """Pads both right and bottom and pastes chosen segments, with pixels, labels and reality.

    What is unlabelled in the donor stays out. Stuff of a class that both images have becomes one
    segment; segments covered entirely are gone.

    Args:
        main: what is pasted on.
        donor: where the segments come from.
        size: (H, W) of the result in pixels.
        rng: chooses the segments.

    Raises:
        ValueError: an image is larger than the size.
    """
    is_chosen = np.append(choose_segments(donor.segments, rng), False)  # the last serves VOID
    is_pasted = donor.resize(is_chosen[donor.source_map])  # (h, w) of the donor
    donor_part = tuple(map(slice, is_pasted.shape))
    image = pad(main.image, size, 0)
    _paste_pixels(image[donor_part], donor.image, is_pasted)
    is_real = pad(np.ones(main.image.shape[:2], dtype=bool), size, False)
    is_real[donor_part] |= is_pasted

    grid = tuple(-(-side // STRIDE) for side in size)
    grid_map = pad(main.resize(main.source_map, STRIDE), grid, VOID)
    # Behind the main image's segments, the donor's indices collide with none.
    donor_map = donor.resize(donor.source_map, STRIDE) + np.int32(len(main.segments))
    donor_part = tuple(map(slice, donor_map.shape))
    np.copyto(grid_map[donor_part], donor_map, where=is_pasted[::STRIDE, ::STRIDE])
    return Scene(image, is_real, *compact(grid_map, main.segments + donor.segments))


def without_paste(main: LabelledView, size: tuple[int, int]) -> Scene:
    """Pads an image and its labels right and bottom.

    Args:
        main: the image.
        size: (H, W) of the result in pixels.

    Raises:
        ValueError: the image is larger than the size.
    """
    is_real = pad(np.ones(main.image.shape[:2], dtype=bool), size, False)
    grid = tuple(-(-side // STRIDE) for side in size)
    grid_map = pad(main.resize(main.source_map, STRIDE), grid, VOID)
    return Scene(pad(main.image, size, 0), is_real, *compact(grid_map, main.segments))


def pad(values: np.ndarray, size: tuple[int, int], fill: int) -> np.ndarray:
    """Copies an array (h, w, …) to the top left of a new one (H, W, …).

    Raises:
        ValueError: it is larger than that.
    """
    height, width = values.shape[:2]
    if height > size[0] or width > size[1]:
        raise ValueError(f"{(height, width)} pixels do not fit into {size}")
    padded = np.full((*size, *values.shape[2:]), fill, dtype=values.dtype)
    padded[:height, :width] = values
    return padded


def _paste_pixels(image: np.ndarray, donor: np.ndarray, is_pasted: np.ndarray) -> None:
    """Overwrites pixels of `image` (h, w, 3) where `is_pasted` (h, w)."""
    # One item of three bytes a pixel: several times as fast as three items under one flag.
    pixels, donors = (array.view("V3")[..., 0] for array in (image, np.ascontiguousarray(donor)))
    np.copyto(pixels, donors, where=is_pasted)
