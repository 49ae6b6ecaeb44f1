"""Things of a video keep their numbers from frame to frame."""

from types import SimpleNamespace

import numpy as np

from kmax_deeplab.predict.tracks import PATIENCE, Tracks


def frame(*things, size=(20, 60)):
    """A map with squares of 10 pixels, each (id, class, left)."""
    panoptic = np.zeros(size, np.int32)
    for number, _, left in things:
        panoptic[5:15, left : left + 10] = number
    segments = [
        SimpleNamespace(id=n, category_id=c, isthing=True, area=int((panoptic == n).sum()))
        for n, c, _ in things
    ]
    ground = SimpleNamespace(id=99, category_id=7, isthing=False, area=9)
    return panoptic, [*segments, ground]


def test_things_that_move_keep_their_numbers_whatever_their_order():
    tracks = Tracks()
    assert tracks.follow(*frame((1, 0, 0), (2, 0, 30))) == {1: 1, 2: 2}
    assert tracks.follow(*frame((1, 0, 32), (2, 0, 3))) == {1: 2, 2: 1}


def test_a_new_thing_gets_a_new_number_and_classes_count_apart():
    tracks = Tracks()
    assert tracks.follow(*frame((1, 0, 0), (2, 1, 30))) == {1: 1, 2: 1}
    assert tracks.follow(*frame((4, 0, 45), (5, 1, 30))) == {4: 2, 5: 1}


def test_a_thing_of_another_class_is_another():
    tracks = Tracks()
    tracks.follow(*frame((1, 0, 0), (2, 1, 30)))
    assert tracks.follow(*frame((1, 1, 0))) == {1: 2}


def test_a_thing_that_is_not_seen_for_a_while_is_known_again():
    tracks = Tracks()
    tracks.follow(*frame((1, 0, 0), (2, 0, 30)))
    for _ in range(PATIENCE - 1):
        assert tracks.follow(*frame((1, 0, 0))) == {1: 1}
    assert tracks.follow(*frame((1, 0, 0), (2, 0, 31))) == {1: 1, 2: 2}
    for _ in range(PATIENCE + 1):
        tracks.follow(*frame((1, 0, 0)))
    assert tracks.follow(*frame((1, 0, 0), (2, 0, 31))) == {1: 1, 2: 3}


def test_the_best_pairs_win():
    tracks = Tracks()
    tracks.follow(*frame((1, 0, 0), (2, 0, 10)))
    assert tracks.follow(*frame((1, 0, 6), (2, 0, 16))) == {1: 1, 2: 2}


def test_frames_without_things_are_frames():
    tracks = Tracks()
    assert tracks.follow(*frame()) == {}
    assert tracks.follow(*frame((3, 0, 0))) == {3: 1}
