"""Where segments lie: a map of ids enters, the box of each leaves; numpy alone is enough."""

import numpy as np

Box = tuple[slice, slice]
"""Rows and columns of an array."""


def find_boxes(ids: np.ndarray, count: int) -> list[Box | None]:
    """Returns the smallest box around each of the ids 1 to `count`, None where it has no pixel.

    Args:
        ids: (H, W) integers, 0 where there is none.
        count: the largest that there may be.
    """
    rows, columns = np.nonzero(ids)
    owners = ids[rows, columns] - 1
    spans = [_extents(places, owners, count) for places in (rows, columns)]
    return [
        (slice(top, bottom), slice(left, right)) if bottom else None
        for (top, bottom), (left, right) in zip(*spans, strict=True)
    ]


def _extents(places: np.ndarray, owners: np.ndarray, count: int) -> list[list[int]]:
    """Returns first place and end of each of `count` owners, whose end is 0 without a place."""
    first = np.full(count, np.iinfo(np.int64).max)
    end = np.zeros(count, np.int64)
    np.minimum.at(first, owners, places)
    np.maximum.at(end, owners, places + 1)
    return np.stack([first, end], 1).tolist()
