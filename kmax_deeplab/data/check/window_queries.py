"""The queries that windows of large images need: a profile and a side enter, counts leave."""

from itertools import pairwise

import numpy as np

from kmax_deeplab.data.check.profile import Profile

CHUNK = 64
"""Rows of windows that are counted at a time."""


def needed_in_windows(profile: Profile, tile: int) -> list[int]:
    """Counts the queries that the fullest window of each image needs.

    Windows lie half a side apart, segments are taken to fill their boxes: what a model that looks
    at windows needs at most, up to where they lie.

    Args:
        profile: of the dataset.
        tile: side of the windows in the image's pixels.
    """
    order = np.argsort(profile.image, kind="stable")
    bounds = np.searchsorted(profile.image[order], np.arange(len(profile.sizes) + 1))
    return [
        _most_in_window(profile, order[begin:end], profile.sizes[index], tile)
        for index, (begin, end) in enumerate(pairwise(bounds))
    ]


def _most_in_window(profile: Profile, segments: np.ndarray, size: np.ndarray, tile: int) -> int:
    left, top, width, height = profile.boxes[segments].T
    is_thing = profile.is_thing[segments]
    stuff = profile.category[segments][~is_thing]
    across = _meets(_starts(size[1], tile), tile, left, width)  # (columns, M)
    down = _meets(_starts(size[0], tile), tile, top, height)  # (rows, M)
    of_class = np.unique(stuff)[:, None] == stuff  # (classes of stuff, S)
    most = 0
    for begin in range(0, len(down), CHUNK):
        rows = down[begin : begin + CHUNK].astype(np.float32)
        things = rows[:, is_thing] @ across[:, is_thing].T.astype(np.float32)  # (rows, columns)
        for members in of_class:
            inside = rows[:, ~is_thing][:, members] @ across[:, ~is_thing][:, members].T
            things += inside > 0
        most = max(most, int(things.max(initial=0)))
    return most


def _starts(length: int, tile: int) -> np.ndarray:
    """Returns where windows half a side apart begin along an axis."""
    step, last = max(tile // 2, 1), max(length - tile, 0)
    return np.minimum(np.arange(0, last + step, step), last)


def _meets(starts: np.ndarray, tile: int, begin: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """Returns (windows, M) whether each window shares pixels with each box, along an axis."""
    starts = starts[:, None]
    return (begin < starts + tile) & (begin + extent > starts)
