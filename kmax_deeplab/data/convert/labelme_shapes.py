"""The shapes of LabelMe: an entry of its JSON enters, a mask of the image leaves."""

import base64
import binascii
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from kmax_deeplab.data.convert.outlines import draw_ellipse, draw_polygon
from kmax_deeplab.data.format.images import UNREADABLE, require_pixels

Corners = Sequence[tuple[float, float]]
"""(x, y) in pixels."""
POLYGON, RECTANGLE, CIRCLE, MASK = "polygon", "rectangle", "circle", "mask"
TURNED = ("oriented_rectangle", "rotation")
"""Rectangles of four corners, of LabelMe and of X-AnyLabeling."""
AREAS = frozenset({POLYGON, RECTANGLE, CIRCLE, MASK, *TURNED})
"""Kinds of shapes that enclose something."""


def draw_shape(kind: str, shape: Mapping, size: tuple[int, int]) -> np.ndarray:
    """Draws a shape as a (height, width) bool mask, empty if it encloses nothing.

    Args:
        kind: one of AREAS.
        shape: with "points", and "mask" if it is one.
        size: (height, width) of the image.

    Raises:
        ValueError: it lacks points or has too many, or its mask cannot be read or does not fit.
    """
    corners = _read_corners(shape.get("points"))
    if kind in (POLYGON, *TURNED):
        return draw_polygon(corners, size)
    if kind == RECTANGLE and len(corners) == 4:  # as X-AnyLabeling writes it
        return draw_polygon(corners, size)
    if len(corners) != 2:
        raise ValueError(f"a {kind} has two points, this one {len(corners)}")
    (left, top), (right, bottom) = corners
    if kind == RECTANGLE:
        return draw_polygon([(left, top), (right, top), (right, bottom), (left, bottom)], size)
    if kind == CIRCLE:  # its centre, and a point on it
        radius = math.hypot(right - left, bottom - top)
        return draw_ellipse((left, top), (radius, radius), size)
    return _place(_read_mask(shape.get("mask")), corners, size)


def _read_corners(points: object) -> Corners:
    is_list = isinstance(points, list) and len(points) > 0
    for point in points if is_list else [None]:
        is_pair = isinstance(point, list) and len(point) == 2
        if not is_pair or not all(isinstance(v, int | float) and math.isfinite(v) for v in point):
            raise ValueError(f"its points must be pairs of numbers, not {str(points)[:60]}")
    return [tuple(point) for point in points]


def _read_mask(text: object) -> np.ndarray:
    """Reads a PNG that is written in base64; pixels that are not 0 belong to the shape.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise ValueError("it is a mask, but has none")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            require_pixels(image)
            pixels = np.asarray(image)
    except (binascii.Error, *UNREADABLE) as error:
        raise ValueError(f"its mask is no PNG in base64 ({error})") from error
    return pixels.reshape(*pixels.shape[:2], -1).any(2)


def _place(mask: np.ndarray, corners: Corners, size: tuple[int, int]) -> np.ndarray:
    """Puts a mask into an image, its first pixel where its first corner lies.

    Raises:
        ValueError: its corners, both of them within it, are whole and say another size.
    """
    (left, top), (right, bottom) = corners
    wanted = (bottom - top + 1, right - left + 1)
    is_whole = all(value == int(value) for corner in corners for value in corner)
    if is_whole and mask.shape != wanted:
        raise ValueError(f"its mask is {mask.shape}, its corners enclose {wanted}")
    placed = np.zeros(size, bool)
    top, left = round(top), round(left)
    rows, columns = (
        np.arange(count) + start for count, start in zip(mask.shape, (top, left), strict=True)
    )
    is_row, is_column = (rows >= 0) & (rows < size[0]), (columns >= 0) & (columns < size[1])
    placed[np.ix_(rows[is_row], columns[is_column])] = mask[np.ix_(is_row, is_column)]
    return placed
