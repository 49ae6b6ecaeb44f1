"""Error map: an image, true and predicted segments and their faults enter, a picture leaves."""

from collections.abc import Mapping

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.metrics.faults import Faults
from kmax_deeplab.visualize.overlays import SMALLER, find_boxes, write_inside
from kmax_deeplab.visualize.views import hatch

Color = tuple[int, int, int]
COLORS: dict[str, Color] = {
    "matched": (120, 190, 120),
    "missed": (226, 62, 62),
    "invented": (66, 120, 240),
    "wrong class": (214, 84, 214),
    "poor shape": (240, 220, 60),
}
"""RGB of what happened to a segment; of a poor shape, the pixels that are wrong are painted."""
DIM = 0.45
"""Factor on the brightness of the image beneath."""
FILL = 0.6
"""Share of the colour in painted pixels."""


def draw_faults(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    faults: Faults,
    numbers: tuple[Mapping[int, str], Mapping[int, str]] = ({}, {}),
) -> np.ndarray:
    """Paints what is wrong with a prediction: what was missed, invented, misnamed or badly cut.

    Args:
        image: (H, W, 3) uint8 RGB.
        truth, prediction: (H, W) integer segment ids, 0 where void.
        faults: see `metrics.faults.find_faults`.
        numbers: what true and predicted segments are called in the pictures of both, by their ids:
            written on what was missed, misnamed or invented.

    Returns:
        (H, W, 3) uint8 RGB; void of the truth is hatched.
    """
    grey = image.mean(axis=2, keepdims=True).repeat(3, 2) * DIM
    picture, void = grey.copy(), truth == 0
    places = find_boxes(truth), find_boxes(prediction)
    for i, _ in faults.good:
        _outline(picture, truth, i, places[0], COLORS["matched"])
    for i, j in faults.poor:
        box = _around(places[0][i], places[1][j])
        wrong = ((truth[box] == i) ^ (prediction[box] == j)) & ~void[box]
        _fill(picture[box], grey[box], wrong, COLORS["poor shape"])
    for i, j in faults.poor:
        _outline(picture, truth, i, places[0], COLORS["poor shape"])
        _outline(picture, prediction, j, places[1], COLORS["poor shape"])
    marks = [(0, i, "wrong class") for i, _ in faults.confused]
    marks += [(0, i, "missed") for i in faults.missed]
    marks += [(1, j, "invented") for j in faults.invented]
    for side, i, kind in marks:
        ids, box = (truth, prediction)[side], places[side][i]
        _fill(picture[box], grey[box], ids[box] == i, COLORS[kind])
        _outline(picture, ids, i, places[side], COLORS[kind])
    picture = hatch(picture.round().astype(np.uint8), void)
    canvas = Image.fromarray(picture)
    for side, i, kind in marks:
        box, text = places[side][i], numbers[side].get(i, "")
        mask = (truth, prediction)[side][box] == i
        corner = np.array([box[1].start, box[0].start])
        if not write_inside(canvas, mask, corner, text, COLORS[kind]):
            write_inside(canvas, mask, corner, text, COLORS[kind], scale=SMALLER)
    return np.asarray(canvas).copy()


def _fill(picture: np.ndarray, grey: np.ndarray, mask: np.ndarray, color: Color) -> None:
    picture[mask] = (1 - FILL) * grey[mask] + FILL * np.array(color)


def _around(*boxes: tuple[slice, slice]) -> tuple[slice, ...]:
    axes = zip(*boxes, strict=True)
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in map(list, axes))


def _outline(
    picture: np.ndarray,
    ids: np.ndarray,
    i: int,
    boxes: Mapping[int, tuple[slice, slice]],
    color: Color,
) -> None:
    mask = ids[boxes[i]] == i
    picture[boxes[i]][mask & ~ndimage.binary_erosion(mask)] = color
