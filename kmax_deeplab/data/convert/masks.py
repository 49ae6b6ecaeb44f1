"""Masks as COCO writes them: polygons or run lengths enter, (H, W) bool leaves."""

import math
from collections.abc import Mapping

import numpy as np
from pycocotools import mask as coco_mask

from kmax_deeplab.data.format.contents import is_whole

FARTHEST = 10
"""How many times the longer side of the image a corner may be away; `pycocotools` walks along each
edge, and ends the process where memory ends."""


def decode_mask(segmentation: object, size: tuple[int, int]) -> np.ndarray:
    """Draws polygons, or decodes run lengths, compressed or not, as a (height, width) bool mask.

    Raises:
        ValueError: it is none of these, or of another size.
    """
    height, width = size
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if _is_area(polygon, FARTHEST * max(size))]
        if not polygons:
            return np.zeros(size, dtype=bool)
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return coco_mask.decode(runs).astype(bool)
    if isinstance(segmentation, Mapping) and {"counts", "size"} <= segmentation.keys():
        if tuple(segmentation["size"]) != size:
            raise ValueError(f"its mask is {segmentation['size']}, its image {list(size)}")
        return _decode_runs(segmentation["counts"], size)
    raise ValueError("its segmentation is neither polygons nor run lengths")


def _is_area(polygon: object, farthest: float) -> bool:
    """Returns whether a polygon has three corners or more; fewer enclose nothing."""
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError(f"a polygon is a list x, y, x, y, … of numbers, not {str(polygon)[:60]}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
        raise ValueError(f"a polygon has a value that is no number: {str(polygon)[:60]}")
    if polygon and (value := max(polygon, key=abs)) and abs(value) > farthest:
        raise ValueError(f"a polygon has a corner at {value:g}, far outside of its image")
    return len(polygon) >= 6


def _decode_runs(counts: object, size: tuple[int, int]) -> np.ndarray:
    """Decodes run lengths, column by column, as a (height, width) bool mask.

    `pycocotools` leaves pixels that no run covers uninitialised.
    """
    lengths = _read_lengths(counts) if isinstance(counts, str | bytes) else counts
    if not isinstance(lengths, list) or not all(is_whole(n) and n >= 0 for n in lengths):
        raise ValueError("its run lengths are no whole numbers of pixels")
    height, width = size
    if sum(lengths) != height * width:
        raise ValueError(
            f"its run lengths cover {sum(lengths)} pixels, its image has {height * width}: the "
            "mask is cut off or of another image"
        )
    is_inside = np.arange(len(lengths)) % 2 == 1
    return is_inside.repeat(lengths).reshape(width, height).T


def _read_lengths(text: str | bytes) -> list[int]:
    """Reads COCO's compressed run lengths: 5 bits a character, differences from the third on."""
    lengths, value, shift = [], 0, 0
    for character in text.encode() if isinstance(text, str) else text:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its run lengths hold the character {chr(character)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its run lengths end in the middle of a number")
    return lengths
