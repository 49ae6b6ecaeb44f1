"""Outlines of annotation tools as masks: corners and radii enter, (H, W) bool leaves.

Coordinates are in pixels, 0 at the left and upper edges of the image. A pixel belongs to an ellipse
if its centre does, and to a polygon as COCO's own tool draws it.
"""

import math
from collections.abc import Sequence

import numpy as np

from kmax_deeplab.data.convert.masks import decode_mask


def draw_polygon(corners: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """Draws a polygon.

    Args:
        corners: (x, y) of each.
        size: (height, width) of the image.

    Raises:
        ValueError: a coordinate is no finite number.
    """
    return decode_mask([[value for corner in corners for value in corner]], size)


def draw_ellipse(
    center: tuple[float, float],
    radii: tuple[float, float],
    size: tuple[int, int],
    degrees: float = 0.0,
) -> np.ndarray:
    """Draws an ellipse.

    Args:
        center: (x, y).
        radii: along its own axes, x first.
        size: (height, width) of the image.
        degrees: that it is turned by, clockwise.

    Raises:
        ValueError: a number is not finite.
    """
    if not all(map(math.isfinite, (*center, *radii, degrees))):
        raise ValueError(f"an ellipse at {center} with the radii {radii}, turned by {degrees}")
    if min(radii) <= 0:
        return np.zeros(size, bool)
    height, width = size
    x = np.arange(width) + 0.5 - center[0]  # (W,)
    y = (np.arange(height) + 0.5 - center[1])[:, None]  # (H, 1)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along = (cosine * x + sine * y) / radii[0]  # (H, W)
    across = (cosine * y - sine * x) / radii[1]  # (H, W)
    return along**2 + across**2 <= 1
