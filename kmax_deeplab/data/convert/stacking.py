"""Regions that may overlap enter, one segment a pixel leaves.

The rule, for every format: stuff lies at the bottom, in the order of its regions, all regions of a
class being one segment; crowds lie on it; on these the things, the smaller on top of the larger,
of equal ones the later on top. Where a tool has layers, those of regions of one kind come first.
Where nothing lies, and nobody said that it is void, the background may show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.writer import DrawnSegment

STUFF, CROWD, THING = range(3)
"""From the bottom to the top."""


@dataclass(frozen=True)
class Stack:
    """An image whose pixels have one segment each.

    Attributes:
        segment_map: (H, W) int32, position in `segments` + 1, 0 where unlabelled.
        segments: in the order of the regions.
        contested: pixels on which a thing covers another one.
    """

    segment_map: np.ndarray
    segments: Sequence[DrawnSegment]
    contested: int


def stack(labels: Labels, categories: Categories, background: int | None = None) -> Stack:
    """Lays the regions of an image on each other (see the top of this file).

    Args:
        labels: of the image.
        categories: of the new dataset.
        background: category id of the stuff that pixels without a label become, if any.
    """
    is_thing = dict(zip(categories.ids, categories.is_thing, strict=True))
    segments: list[DrawnSegment] = []
    of_stuff: dict[int, int] = {}
    waiting = []
    for position, region in enumerate(labels.regions):
        level = _level(region, is_thing[region.category_id])
        number = of_stuff.get(region.category_id, 0) if level == STUFF else 0
        if not number:
            segments.append(DrawnSegment(region.category_id, level == CROWD))
            number = len(segments)
        if level == STUFF:
            of_stuff[region.category_id] = number
        area = int(region.mask.sum()) if level == THING else 0
        waiting.append((level, region.layer, -area, position, number))
    segment_map, contested = np.zeros(labels.size, np.int32), 0
    is_taken = np.zeros(labels.size, bool)
    for level, _, _, position, number in sorted(waiting):
        region = labels.regions[position]
        box = region.box
        segment_map[box][region.mask] = number
        if level == THING:
            contested += int((is_taken[box] & region.mask).sum())
            is_taken[box] |= region.mask
    free = segment_map == 0 if labels.void is None else (segment_map == 0) & ~labels.void
    if background is not None and free.any():
        if background not in of_stuff:
            segments.append(DrawnSegment(background))
        segment_map[free] = of_stuff.get(background, len(segments))
    return Stack(segment_map, segments, contested)


def _level(region: Region, is_thing: bool) -> int:
    if not is_thing:
        return STUFF
    return CROWD if region.iscrowd else THING
