"""Windows cover an image once by their cores and see things of the overlap whole."""

import numpy as np
import pytest

from kmax_deeplab.predict.tiles import windows


@pytest.mark.parametrize("size", [(1, 1), (100, 128), (129, 300), (256, 700)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_the_cores_cover_every_pixel_once(size, overlap):
    seen, cores = np.zeros(size, int), np.zeros(size, int)
    for window in windows(size, 128, overlap):
        seen[window.place] += 1
        cores[window.core] += 1
        assert max(window.size) <= 128
    assert seen.min() >= 1
    assert (cores == 1).all()


def test_things_of_the_overlap_are_whole_in_a_window():
    found = list(windows((128, 500), 128, 0.5))
    for left in range(500 - 64):
        assert any(w.columns[0] <= left and left + 64 <= w.columns[1] for w in found)


def test_without_a_side_one_window_is_the_image():
    (window,) = windows((30, 50), 0, 0.5)
    assert window.size == (30, 50)
    assert not any(window.is_cut)


def test_a_window_is_cut_where_the_image_goes_on():
    left, middle, right = windows((128, 300), 128, 0.25)
    assert [w.is_cut[2:] for w in (left, middle, right)] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert left.is_cut[:2] == (False, False)
