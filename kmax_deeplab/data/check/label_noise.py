"""Labels that look like slips of a hand or a tool: ids of an image enter, notes leave.

A note is no fault: a far bird has four pixels, and a fence leaves a cow in pieces. Where a dataset
has many of a kind, look at some.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from scipy import ndimage

from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.format.measures import Measure

TINY_AREA = 4
"""Pixels up to which a segment, or a piece apart from its thing, is a slip of the brush."""
WHOLE_SHARE = 0.95
"""Of an image, from which on a thing is more likely its background."""
SAME_BOX = 0.7
"""Intersection over union of the boxes of two things from which on they are one, labelled twice."""
ALL_NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner are of one piece."""
ROWS = 2**16
"""Pairs of boxes that are compared at a time."""
MOST_LISTED = 10
"""Ids that a note lists."""


def find_noise(
    ids: np.ndarray,
    measures: Mapping[int, Measure],
    segments: Sequence[Mapping],
    things: Collection,
    png_file: str,
) -> list[Finding]:
    """Finds the labels of an image that may be slips.

    Args:
        ids: (H, W) segment ids.
        measures: of them, by id.
        segments: "segments_info" of the JSON; crowds, and segments without pixels, are no noise.
        things: ids of the categories that are things.
        png_file: path of the PNG, for the notes.
    """
    known = [s for s in segments if s["id"] in measures and not s.get("iscrowd", 0)]
    categories = {s["id"]: s["category_id"] for s in known if s["category_id"] in things}
    areas = {segment["id"]: measures[segment["id"]].area for segment in known}
    suspects = {
        "tiny-segment": [i for i, area in areas.items() if area <= TINY_AREA],
        "whole-image": [i for i in categories if areas[i] >= WHOLE_SHARE * ids.size],
        "specks": [],
        "far-pieces": [],
        "labelled-twice": list(_find_twice(categories, measures)),
    }
    for i in categories:
        for kind in _judge_pieces(ids, i, measures[i]):
            suspects[kind].append(i)
    return [
        Finding(kind, png_file, _list_segments(found, areas), segments=tuple(found[:MOST_LISTED]))
        for kind, found in suspects.items()
        if found
    ]


def _judge_pieces(ids: np.ndarray, segment_id: int, measure: Measure) -> Iterator[str]:
    """Yields the kinds of notes on a thing that is not in one piece."""
    left, top, width, height = measure.bbox
    if measure.area in (width * height, 1):
        return
    mask = ids[top : top + height, left : left + width] == segment_id
    pieces, count = ndimage.label(mask, ALL_NEIGHBOURS)
    if count == 1:
        return
    areas = np.bincount(pieces.ravel())[1:]  # (pieces,)
    boxes = np.array([[(s.start, s.stop) for s in box] for box in ndimage.find_objects(pieces)])
    largest = areas.argmax()
    if areas[largest] > TINY_AREA >= areas.min():
        yield "specks"
    starts, stops = boxes[..., 0], boxes[..., 1]  # (pieces, rows and columns)
    gaps = np.maximum(starts - stops[largest], starts[largest] - stops).max(axis=1)
    side = (stops[largest] - starts[largest]).max()
    if (gaps[areas > TINY_AREA] > side).any():
        yield "far-pieces"


def _find_twice(categories: Mapping[int, int], measures: Mapping[int, Measure]) -> Iterator[int]:
    """Yields the smaller of two things of a class whose boxes are nearly one."""
    ordered = sorted(categories, key=lambda i: measures[i].area)
    boxes = np.array([measures[i].bbox for i in ordered], dtype=float).reshape(-1, 4)
    classes = np.unique([categories[i] for i in ordered], return_inverse=True)[1]
    starts, sides = boxes[:, :2], boxes[:, 2:]
    stops, areas = starts + sides, sides.prod(axis=1)
    step = ROWS // max(len(ordered), 1) + 1
    for first in range(0, len(ordered), step):
        rows = slice(first, first + step)
        shared = np.minimum(stops[rows, None], stops) - np.maximum(starts[rows, None], starts)
        shared = shared.clip(0).prod(axis=2)  # (step, things)
        same = shared >= SAME_BOX * (areas[rows, None] + areas - shared)
        same &= classes[rows, None] == classes
        larger = np.triu(same, first + 1).any(axis=1)
        yield from (ordered[first + row] for row in np.flatnonzero(larger))


def _list_segments(found: Sequence[int], areas: Mapping[int, int]) -> str:
    listed = ", ".join(f"{i} ({areas[i]} pixel{'s' * (areas[i] > 1)})" for i in found[:MOST_LISTED])
    more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return f"segment{'s' * (len(found) > 1)} {listed}{more}"
