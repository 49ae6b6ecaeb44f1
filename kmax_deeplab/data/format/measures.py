"""Measures of segments: ids of a PNG or "segments_info" enter, pixels, boxes and counts leave."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Measure:
    """What a segment is in its PNG: pixels, and box (left, top, width, height) in pixels."""

    area: int
    bbox: tuple[int, int, int, int]


def measure_segments(ids: np.ndarray) -> dict[int, Measure]:
    """Counts the pixels and finds the box of every id but 0.

    Args:
        ids: (H, W) integer segment ids.
    """
    flat = ids.ravel()
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    values, of_run = np.unique(flat[starts], return_inverse=True)  # far fewer runs than pixels
    lengths = np.diff(starts, append=flat.size)
    areas = np.bincount(of_run, lengths)
    boxes = ndimage.find_objects(np.repeat(of_run + 1, lengths).reshape(ids.shape))
    measures = {}
    for value, area, (rows, columns) in zip(
        values.tolist(), areas.astype(int).tolist(), boxes, strict=True
    ):
        size = (columns.stop - columns.start, rows.stop - rows.start)
        if value:
            measures[value] = Measure(area, (columns.start, rows.start, *size))
    return measures


def count_queries(segments_info: Iterable[Mapping]) -> int:
    """Counts the queries that an image needs.

    Args:
        segments_info: one mapping per segment: "category_id", "isthing" and perhaps "iscrowd".
    """
    counted = [segment for segment in segments_info if not segment.get("iscrowd", 0)]
    things = sum(bool(segment["isthing"]) for segment in counted)
    return things + len({s["category_id"] for s in counted if not s["isthing"]})
