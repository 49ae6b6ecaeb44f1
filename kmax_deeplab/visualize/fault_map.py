"""Error map: an image, true and predicted segments and their faults enter, a picture leaves."""

import numpy as np
from scipy import ndimage

from kmax_deeplab.metrics.faults import Faults
from kmax_deeplab.visualize.overlays import boundaries

Color = tuple[int, int, int]
COLORS: dict[str, Color] = {
    "matched": (120, 190, 120),
    "missed": (226, 62, 62),
    "invented": (66, 120, 240),
    "wrong class": (240, 150, 30),
    "poor shape": (240, 220, 60),
}
"""RGB of what happened to a segment; of a poor shape, the pixels that are wrong are painted."""
DIM = 0.45
"""Factor on the brightness of the image beneath."""
FILL = 0.6
"""Share of the colour in painted pixels."""
HATCH = 7
"""Pixels between two lines over void."""


def draw_faults(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, faults: Faults
) -> np.ndarray:
    """Paints what is wrong with a prediction: what was missed, invented, misnamed or badly cut.

    Args:
        image: (H, W, 3) uint8 RGB.
        truth, prediction: (H, W) integer segment ids, 0 where void.
        faults: see `metrics.faults.find_faults`.

    Returns:
        (H, W, 3) uint8 RGB; void of the truth is hatched.
    """
    grey = image.mean(axis=2, keepdims=True).repeat(3, 2) * DIM
    for i, _ in faults.good:
        _outline(grey, truth == i, COLORS["matched"])
    for i, j in faults.poor:
        mask, found = truth == i, prediction == j
        _fill(grey, (mask ^ found) & (truth != 0), COLORS["poor shape"])
        _outline(grey, mask | found, COLORS["poor shape"])
    for kind, masks in (
        ("wrong class", [truth == i for i, _ in faults.confused]),
        ("missed", [truth == i for i in faults.missed]),
        ("invented", [prediction == j for j in faults.invented]),
    ):
        for mask in masks:
            _fill(grey, mask, COLORS[kind])
            _outline(grey, mask, COLORS[kind])
    return hatch(grey.round().astype(np.uint8), truth == 0)


def hatch(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draws diagonal lines over the pixels of a mask; returns the picture, changed."""
    rows, columns = np.nonzero(mask)
    on_line = (rows + columns) % HATCH == 0
    picture[rows[on_line], columns[on_line]] = 150
    return picture


def draw_segments(image: np.ndarray, ids: np.ndarray, colors: dict[int, Color]) -> np.ndarray:
    """Paints segments so that two of one class are told apart: filled, and outlined in black.

    Args:
        image: (H, W, 3) uint8 RGB.
        ids: (H, W) integer segment ids, 0 where void.
        colors: RGB of each segment.

    Returns:
        (H, W, 3) uint8 RGB; void is hatched.
    """
    grey = image.mean(axis=2, keepdims=True).repeat(3, 2)
    for i, color in colors.items():
        _fill(grey, ids == i, color)
    grey[boundaries(ids)] = 0
    return hatch(grey.round().astype(np.uint8), ids == 0)


def _fill(picture: np.ndarray, mask: np.ndarray, color: Color) -> None:
    picture[mask] = (1 - FILL) * picture[mask] + FILL * np.array(color)


def _outline(picture: np.ndarray, mask: np.ndarray, color: Color) -> None:
    picture[mask & ~ndimage.binary_erosion(mask)] = color
