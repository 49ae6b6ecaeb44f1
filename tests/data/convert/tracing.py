"""Masks as polygons that give the same mask again: borders of pixels, followed corner by corner."""

import numpy as np

from kmax_deeplab.data.convert.labels import Region

Corner = tuple[int, int]
"""(x, y): pixel (row, column) lies between (column, row) and (column + 1, row + 1)."""


def trace(mask: np.ndarray) -> list[list[Corner]]:
    """Returns the closed lines between the pixels inside and outside of a (H, W) bool mask.

    Lines around holes are among them; of each line the corners where it turns are listed.
    """
    region = Region.of(0, mask)
    lines = _trace_box(region.mask)
    return [[(x + region.left, y + region.top) for x, y in line] for line in lines]


def _trace_box(mask: np.ndarray) -> list[list[Corner]]:
    padded = np.pad(mask, 1).astype(np.int8)
    following: dict[Corner, list[Corner]] = {}
    for row, column in np.argwhere(np.diff(padded, axis=0)).tolist():  # borders that lie level
        start, end = (column - 1, row), (column, row)
        if not mask_at(mask, row, column - 1):
            start, end = end, start
        following.setdefault(start, []).append(end)
    for row, column in np.argwhere(np.diff(padded, axis=1)).tolist():
        start, end = (column, row), (column, row - 1)
        if not mask_at(mask, row - 1, column):
            start, end = end, start
        following.setdefault(start, []).append(end)
    lines = []
    while following:
        lines.append(_follow(following))
    return lines


def mask_at(mask: np.ndarray, row: int, column: int) -> bool:
    """Returns a pixel of a mask; outside of it there is nothing."""
    height, width = mask.shape
    return 0 <= row < height and 0 <= column < width and bool(mask[row, column])


def _follow(following: dict[Corner, list[Corner]]) -> list[Corner]:
    """Takes one closed line out of the borders that are left."""
    first = corner = next(iter(following))
    line = []
    while True:
        ends = following[corner]
        end = ends.pop()
        if not ends:
            del following[corner]
        line.append(corner)
        corner = end
        if corner == first:
            return _turns(line)


def _turns(line: list[Corner]) -> list[Corner]:
    turns = []
    for before, corner, after in zip(line[-1:] + line, line, line[1:] + line[:1], strict=False):
        straight = before[0] == corner[0] == after[0] or before[1] == corner[1] == after[1]
        turns += [] if straight else [corner]
    return turns


def join(lines: list[list[Corner]]) -> list[Corner]:
    """Joins closed lines to one, by ways there and back between their first corners."""
    joined = []
    for line in lines:
        joined += [*line, line[0]]
    return joined + [line[0] for line in lines[-2::-1]]
