"""Things of one frame after another enter, numbers that stay the same from frame to frame leave."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

SAME = 0.2
"""Least intersection over union of one thing's masks in two frames."""
PATIENCE = 15
"""Frames for which a thing that is not seen keeps its number."""


class Segment(Protocol):
    """What is needed of a segment."""

    id: int
    category_id: int
    isthing: bool
    area: int


@dataclass
class Track:
    """A thing that was seen in some frames.

    Attributes:
        category: index of its class.
        number: of the things of its class, from 1.
        area: pixels when it was last seen.
        seen: frame in which that was.
    """

    category: int
    number: int
    area: int
    seen: int


class Tracks:
    """The things of a video so far, and where each was last seen."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.frame = 0
        self._counts: Counter[int] = Counter()
        self._where: np.ndarray | None = None  # (H, W) 1 + track at each pixel, 0 where none is

    def follow(self, panoptic: np.ndarray, segments: list[Segment]) -> dict[int, int]:
        """Finds the things of a frame among those before.

        Args:
            panoptic: (H, W) int32 segment ids, 0 where void.
            segments: the segments.

        Returns:
            The number of each thing by its id.
        """
        things = [segment for segment in segments if segment.isthing]
        if self._where is None:
            self._where = np.zeros(panoptic.shape, np.int32)
        self.frame += 1
        known = self._match(panoptic, things)
        for row, thing in enumerate(things):
            if row not in known:
                self._counts[thing.category_id] += 1
                number = self._counts[thing.category_id]
                self.tracks.append(Track(thing.category_id, number, 0, 0))
                known[row] = len(self.tracks) - 1
            track = self.tracks[known[row]]
            track.area, track.seen = thing.area, self.frame
        self._remember(panoptic, things, known)
        return {thing.id: self.tracks[known[row]].number for row, thing in enumerate(things)}

    def _match(self, panoptic: np.ndarray, things: list[Segment]) -> dict[int, int]:
        """Returns the track of each thing that has one; both by position."""
        rows = {thing.id: row for row, thing in enumerate(things)}
        columns: dict[int, int] = {}
        found = []
        for (segment, index), both in _count_pairs(panoptic, self._where).items():
            track = self.tracks[index - 1]
            thing = things[rows[segment]] if segment in rows else None
            if thing and thing.category_id == track.category:
                overlap = both / (thing.area + track.area - both)
                if overlap >= SAME:
                    column = columns.setdefault(index - 1, len(columns))
                    found.append((rows[segment], column, overlap))
        overlaps = np.zeros((len(things), len(columns)))
        for row, column, overlap in found:
            overlaps[row, column] = overlap
        tracks = list(columns)
        pairs = zip(*linear_sum_assignment(-overlaps), strict=True)
        return {int(row): tracks[column] for row, column in pairs if overlaps[row, column] > 0}

    def _remember(self, panoptic: np.ndarray, things: list[Segment], known: dict[int, int]) -> None:
        """Notes where things are; those not seen stay where they were, for a while."""
        stays = np.zeros(len(self.tracks) + 1, bool)
        for index, track in enumerate(self.tracks, start=1):
            stays[index] = track.seen < self.frame <= track.seen + PATIENCE
        where = np.where(stays[self._where], self._where, 0)
        of_segment = np.zeros(int(panoptic.max(initial=0)) + 1, np.int32)
        for row, thing in enumerate(things):
            of_segment[thing.id] = known[row] + 1
        here = of_segment[panoptic]
        self._where = np.where(here > 0, here, where)


def _count_pairs(first: np.ndarray, second: np.ndarray) -> dict[tuple[int, int], int]:
    """Counts the pixels of each pair of numbers, both of which are above 0."""
    both = (first > 0) & (second > 0)
    codes = first[both].astype(np.int64) << 32 | second[both]
    found, counts = np.unique(codes, return_counts=True)
    pairs = zip((found >> 32).tolist(), (found & 0xFFFFFFFF).tolist(), strict=True)
    return dict(zip(pairs, counts.tolist(), strict=True))
