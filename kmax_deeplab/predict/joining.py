"""Joining what windows show: segments of each window enter, those of the whole image leave.

A thing that two windows see is one if both drew nearly the same where they overlap. Of what several
saw, one that saw it whole is believed; what none saw whole is put together. Stuff and void are
those of the window in whose core a pixel lies. Memory is that of the result, of the masks of things
and of a row of windows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kmax_deeplab.predict.boxes import find_boxes
from kmax_deeplab.predict.tiles import Window

SAME = 0.5
"""Least intersection over union, where two windows overlap, of what both see of one thing."""


@dataclass(frozen=True)
class Piece:
    """What one window shows of a thing.

    Attributes:
        segment: as the panoptic merge describes it.
        place: where its box lies in the image.
        mask: (h, w) bool in that box.
        is_whole: whether it ends inside the window, or at the border of the image.
    """

    segment: dict
    place: tuple[slice, slice]
    mask: np.ndarray
    is_whole: bool


class Joined:
    """The segments of an image, gathered window by window, row by row.

    Args:
        size: (height, width) of the image in pixels.
        overlap: least share of a thing that must still be free, exclusive, as in the merge.
    """

    def __init__(self, size: tuple[int, int], overlap: float) -> None:
        self.overlap = overlap
        self.stuff = np.zeros(size, np.int16)  # 1 + class, 0 where there is none
        self.stuff_scores: dict[int, list[tuple[float, int]]] = {}
        self.pieces: list[Piece] = []
        self.links: list[tuple[int, int]] = []
        self.recent: list[tuple[Window, np.ndarray]] = []

    def add(self, window: Window, ids: np.ndarray, segments: list[dict]) -> None:
        """Adds what a window shows.

        Args:
            window: right of or below those before.
            ids: (h, w) segment ids, 0 where void.
            segments: see `postprocessing.panoptic.merge`.
        """
        self._add_stuff(window, ids, segments)
        numbers = self._add_things(window, ids, segments)
        self.recent = [(w, n) for w, n in self.recent if w.rows[1] > window.rows[0]]
        for other, others in self.recent:
            if shared := window.shared(other):
                here, there = numbers[window.local(*shared)], others[other.local(*shared)]
                self.links += self._same(here, there)
        self.recent.append((window, numbers))

    def finish(self) -> tuple[np.ndarray, list[dict]]:
        """Returns (height, width) int32 segment ids and the segments, as the merge does."""
        ids = np.zeros(self.stuff.shape, np.int32)
        segments: list[dict] = []
        groups = [self._believed(group) for group in _groups(len(self.pieces), self.links)]
        groups.sort(key=lambda g: (not g[0].is_whole, -max(p.segment["score"] for p in g)))
        for group in groups:
            best = max(group, key=lambda piece: piece.segment["score"])
            if self._paint(ids, group, len(segments) + 1):
                segments.append({**best.segment, "id": len(segments) + 1})
        for label, seen in sorted(self.stuff_scores.items()):
            mask = (self.stuff == label + 1) & (ids == 0)
            if mask.any():
                score = sum(s * area for s, area in seen) / sum(area for _, area in seen)
                described = {"isthing": False, "category_id": label, "query": -1, "score": score}
                segments.append({"id": len(segments) + 1, **described})
                ids[mask] = len(segments)
        return ids, segments

    def _add_stuff(self, window: Window, ids: np.ndarray, segments: list[dict]) -> None:
        classes = np.zeros(max([0, *(s["id"] for s in segments)]) + 1, np.int16)
        core = ids[window.local(window.core_rows, window.core_columns)]
        areas = np.bincount(core.ravel(), minlength=len(classes))
        for segment in segments:
            area = int(areas[segment["id"]])
            if not segment["isthing"] and area:
                classes[segment["id"]] = segment["category_id"] + 1
                seen = self.stuff_scores.setdefault(segment["category_id"], [])
                seen.append((segment["score"], area))
        self.stuff[window.core] = classes[core]

    def _add_things(self, window: Window, ids: np.ndarray, segments: list[dict]) -> np.ndarray:
        """Keeps the things; returns (h, w) the number of the piece at each pixel from 1, or 0."""
        numbers = np.zeros(max([0, *(s["id"] for s in segments)]) + 1, np.int32)
        boxes = find_boxes(ids, len(numbers) - 1)
        for segment in segments:
            box = boxes[segment["id"] - 1]
            if segment["isthing"] and box is not None:
                rows, columns = box
                ends = (rows.start, window.size[0] - rows.stop)
                ends += (columns.start, window.size[1] - columns.stop)
                is_whole = not any(
                    cut and not end for cut, end in zip(window.is_cut, ends, strict=True)
                )
                top, left = window.rows[0], window.columns[0]
                place = (
                    slice(rows.start + top, rows.stop + top),
                    slice(columns.start + left, columns.stop + left),
                )
                self.pieces.append(Piece(segment, place, ids[box] == segment["id"], is_whole))
                numbers[segment["id"]] = len(self.pieces)
        return numbers[ids]

    def _same(self, here: np.ndarray, there: np.ndarray) -> Iterable[tuple[int, int]]:
        """Yields pairs of pieces that agree where two windows overlap."""
        if not (here.any() and there.any()):
            return
        codes = here.astype(np.int64) << 32 | there
        found, counts = np.unique(codes, return_counts=True)
        first, second = found >> 32, found & 0xFFFFFFFF
        areas = [_sums(side, counts) for side in (first, second)]
        for a, b, count in zip(first.tolist(), second.tolist(), counts.tolist(), strict=True):
            if a and b and count >= SAME * (areas[0][a] + areas[1][b] - count):
                pieces = self.pieces[a - 1], self.pieces[b - 1]
                if pieces[0].segment["category_id"] == pieces[1].segment["category_id"]:
                    yield a - 1, b - 1

    def _believed(self, group: list[int]) -> list[Piece]:
        """Returns the piece of a window that saw the thing whole, or else all."""
        pieces = [self.pieces[index] for index in group]
        whole = [piece for piece in pieces if piece.is_whole]
        return [max(whole, key=lambda piece: piece.segment["score"])] if whole else pieces

    def _paint(self, ids: np.ndarray, group: list[Piece], number: int) -> bool:
        """Gives the free pixels of a thing its id, if enough of them are free."""
        area = free = 0
        for piece in group:
            area += int(piece.mask.sum())
            free += int((piece.mask & (ids[piece.place] == 0)).sum())
        if free <= self.overlap * area:
            return False
        for piece in group:
            part = ids[piece.place]
            part[piece.mask & (part == 0)] = number
        return True


def _sums(numbers: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    """Sums counts by number."""
    found, where = np.unique(numbers, return_inverse=True)
    sums = np.bincount(where, counts)
    return dict(zip(found.tolist(), sums.astype(int).tolist(), strict=True))


def _groups(count: int, links: list[tuple[int, int]]) -> list[list[int]]:
    """Returns which of so many pieces belong together."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for a, b in links:
        parent[root(a)] = root(b)
    order = sorted(range(count), key=root)
    groups: list[list[int]] = [[index] for index in order[:1]]
    for before, index in pairwise(order):
        if root(index) == root(before):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
