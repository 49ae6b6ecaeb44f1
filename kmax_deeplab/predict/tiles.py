"""Windows on an image: its size enters, overlapping windows that cover it leave."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]
"""First pixel of a range along an axis, and the one after its last."""


@dataclass(frozen=True)
class Window:
    """A part of an image; all numbers are pixels.

    Attributes:
        rows, columns: where it lies.
        core_rows, core_columns: what is farther from its border than from those of its neighbours.
            The cores of all windows cover the image once.
        is_cut: whether the image goes on beyond its top, bottom, left and right.
    """

    rows: Span
    columns: Span
    core_rows: Span
    core_columns: Span
    is_cut: tuple[bool, bool, bool, bool]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def place(self) -> tuple[slice, slice]:
        """Where it lies in an array of the image."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def core(self) -> tuple[slice, slice]:
        """Where its core lies in an array of the image."""
        return slice(*self.core_rows), slice(*self.core_columns)

    def shared(self, other: "Window") -> tuple[Span, Span] | None:
        """Returns the rows and columns that two windows share, if any."""
        rows, columns = _common(self.rows, other.rows), _common(self.columns, other.columns)
        return (rows, columns) if rows[0] < rows[1] and columns[0] < columns[1] else None

    def local(self, rows: Span, columns: Span) -> tuple[slice, slice]:
        """Where rows and columns of the image lie in an array of the window."""
        top, left = self.rows[0], self.columns[0]
        return slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)


def windows(size: tuple[int, int], side: int, overlap: float) -> Iterator[Window]:
    """Covers an image with windows, row by row.

    Args:
        size: (height, width) of the image in pixels.
        side: of the windows, where the image is no smaller; 0: one window is the whole image.
        overlap: least share of the side that the next window sees too.
    """
    across = list(_spans(size[1], side or size[1], overlap))
    for rows, core_rows, *ends in _spans(size[0], side or size[0], overlap):
        for columns, core_columns, *sides in across:
            yield Window(rows, columns, core_rows, core_columns, (*ends, *sides))


def _spans(length: int, side: int, overlap: float) -> Iterator[tuple[Span, Span, bool, bool]]:
    """Yields along an axis a range, its core, and whether it is cut at its begin and its end."""
    step = max(side - int(side * overlap), 1)
    count = max(-(-(length - side) // step), 0) + 1
    starts = [round(i * (length - side) / (count - 1)) for i in range(count)] if count > 1 else [0]
    ranges = [(start, min(start + side, length)) for start in starts]
    middles = [(left[1] + right[0]) // 2 for left, right in pairwise(ranges)]
    cores = zip([0, *middles], [*middles, length], strict=True)
    for whole, core in zip(ranges, cores, strict=True):
        yield whole, core, whole[0] > 0, whole[1] < length


def _common(first: Span, second: Span) -> Span:
    return max(first[0], second[0]), min(first[1], second[1])
