"""What windows show becomes the segments of the image."""

import numpy as np
import pytest
from scipy import ndimage

from kmax_deeplab.predict.joining import Joined
from kmax_deeplab.predict.tiles import windows

BACKGROUND, CELL, OTHER = 0, 1, 2


def seen_in(window, truth, classes):
    """What a perfect model shows of a window on a map of things, 0 where there is background."""
    part = truth[window.place]
    numbers = [n for n in np.unique(part) if n]
    ids = np.full(part.shape, 1, np.int32)
    segments = [{"id": 1, "category_id": BACKGROUND, "isthing": False, "score": 0.5, "query": 0}]
    for number in numbers:
        ids[part == number] = len(segments) + 1
        label = {"category_id": classes.get(number, CELL), "isthing": True}
        score = (part == number).sum() / 1e6
        segments.append({"id": len(segments) + 1, **label, "score": score, "query": number})
    if not (ids == 1).any():
        segments[0]["id"] = len(segments) + 10  # listed, without a pixel
    return ids, segments


def join(truth, side, overlap=0.5, classes=None, change=None):
    joined = Joined(truth.shape, overlap=0.8)
    for index, window in enumerate(windows(truth.shape, side, overlap)):
        ids, segments = seen_in(window, truth, classes or {})
        if change:
            ids, segments = change(index, window, ids, segments)
        joined.add(window, ids, segments)
    return joined.finish()


def same_partition(first, second):
    """Whether two maps tell the same pixels apart."""
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(first)) == len(np.unique(second))


@pytest.fixture
def blobs():
    """Some dozens of things of all sizes, many of them on borders of windows."""
    noise = np.random.default_rng(3).random((150, 210))
    return ndimage.label(ndimage.gaussian_filter(noise, 3) > 0.52)[0]


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_what_a_perfect_model_sees_in_windows_is_the_whole_image(blobs, overlap):
    ids, segments = join(blobs, 64, overlap)
    assert same_partition(ids, blobs)
    assert [s["id"] for s in segments] == list(range(1, len(segments) + 1))
    assert (ids > 0).all()


def test_a_thing_larger_than_a_window_is_put_together():
    truth = np.zeros((60, 200), int)
    truth[20:40, 10:190] = 1
    ids, segments = join(truth, 50)
    assert same_partition(ids, truth)
    assert sum(s["isthing"] for s in segments) == 1


def test_touching_things_stay_two():
    truth = np.zeros((40, 90), int)
    truth[10:30, 10:45] = 1
    truth[10:30, 45:80] = 2
    assert same_partition(join(truth, 40)[0], truth)


def test_things_of_two_classes_are_not_joined():
    truth = np.zeros((40, 60), int)
    truth[10:30, 10:50] = 1

    def rename(index, window, ids, segments):
        for segment in segments:
            if segment["isthing"] and window.columns[0] > 0:
                segment["category_id"] = OTHER
        return ids, segments

    _, segments = join(truth, 30, overlap=0.0, change=rename)
    assert {s["category_id"] for s in segments if s["isthing"]} == {CELL, OTHER}


def test_who_saw_a_thing_whole_is_believed():
    truth = np.zeros((64, 128), int)
    truth[20:40, 50:70] = 1  # whole in the window from 32 to 96 only

    def spoil(index, window, ids, segments):
        if window.columns != (32, 96):
            ids[:30][ids[:30] > 1] = 1  # others miss its upper half
        return ids, segments

    assert same_partition(join(truth, 64, change=spoil)[0], truth)


def test_void_in_the_core_of_a_window_stays_void():
    truth = np.zeros((40, 90), int)

    def forget(index, window, ids, segments):
        ids[:5] = 0
        return ids, segments

    ids, (segment,) = join(truth, 40, change=forget)
    assert (ids[:5] == 0).all()
    assert (ids[5:] == 1).all()
    assert segment["score"] == 0.5


def test_an_image_of_nothing_has_no_segment():
    joined = Joined((10, 30), 0.8)
    for window in windows((10, 30), 20, 0.5):
        joined.add(window, np.zeros(window.size, np.int32), [])
    ids, segments = joined.finish()
    assert not ids.any()
    assert segments == []
