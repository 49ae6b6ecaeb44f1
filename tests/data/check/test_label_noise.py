"""Labels that may be slips, drawn by hand."""

import numpy as np
import pytest

from kmax_deeplab.data.check import label_noise
from kmax_deeplab.data.check.image_check import measure_segments
from kmax_deeplab.data.check.label_noise import find_noise

THING, STUFF = 5, 6


def noise(ids, crowds=(), stuff=()):
    """Returns kind and ids of the notes; all segments are things unless said otherwise."""
    segments = [
        {"id": i, "category_id": STUFF if i in stuff else THING, "iscrowd": int(i in crowds)}
        for i in np.unique(ids[ids > 0]).tolist()
    ]
    found = find_noise(ids, measure_segments(ids), segments, {THING}, "a.png")
    assert all(finding.file == "a.png" for finding in found)
    return {finding.kind: finding.segments for finding in found}


def canvas(*boxes):
    """Paints boxes (id, top, left, height, width) one over the other."""
    ids = np.zeros((40, 60), dtype=np.int32)
    for i, top, left, height, width in boxes:
        ids[top : top + height, left : left + width] = i
    return ids


def test_clean_labels_have_no_note():
    assert noise(canvas((1, 0, 0, 40, 60), (2, 5, 5, 10, 10)), stuff={1}) == {}


def test_segments_up_to_four_pixels_are_noted_of_things_and_of_stuff():
    ids = canvas((1, 0, 0, 1, 1), (2, 9, 9, 2, 2), (3, 20, 20, 1, 5), (4, 30, 30, 1, 2))
    assert noise(ids, stuff={2}) == {"tiny-segment": (1, 2, 4)}


def test_the_note_names_pixels_and_ends_after_ten():
    ids = canvas(*((i, 0, 3 * i, 1, 1) for i in range(1, 14)))
    segments = [{"id": i, "category_id": THING} for i in range(1, 14)]
    (found,) = find_noise(ids, measure_segments(ids), segments, {THING}, "a.png")
    assert found.message.startswith("segments 1 (1 pixel), 2 (1 pixel), 3")
    assert found.message.endswith("10 (1 pixel) and 3 more")


def test_a_thing_over_nearly_all_of_the_image_is_noted_and_stuff_is_not():
    ids = canvas((1, 0, 0, 40, 60), (2, 0, 0, 10, 10))
    assert noise(ids) == {"whole-image": (1,)}
    assert noise(ids, stuff={1}) == {}


def test_a_thing_with_a_speck_is_noted_and_a_pixel_at_its_corner_is_none():
    thing = (1, 10, 10, 8, 8)
    assert noise(canvas(thing, (1, 10, 25, 1, 2))) == {"specks": (1,)}
    assert noise(canvas(thing, (1, 18, 18, 1, 1))) == {}
    assert noise(canvas(thing, (1, 10, 25, 1, 2)), crowds={1}) == {}
    assert noise(canvas(thing, (1, 10, 25, 1, 2)), stuff={1}) == {}


def test_pieces_farther_apart_than_a_thing_is_large_are_noted():
    left, near, far = (1, 10, 5, 8, 8), (1, 10, 21, 6, 6), (1, 10, 22, 6, 6)
    assert noise(canvas(left, near)) == {}  # 8 pixels between them
    assert noise(canvas(left, far)) == {"far-pieces": (1,)}


def test_what_is_left_of_an_object_labelled_twice_is_noted():
    rim = canvas((1, 10, 10, 12, 12), (2, 11, 11, 11, 11))
    assert noise(rim) == {"labelled-twice": (1,)}
    assert noise(rim, stuff={2}) == {}
    assert noise(canvas((1, 10, 10, 12, 12), (2, 13, 13, 8, 8))) == {}


@pytest.mark.parametrize("rows", [1, 8, 2**16])
def test_however_many_boxes_are_compared_at_a_time_the_smaller_of_a_pair_is_noted(
    rows, monkeypatch
):
    monkeypatch.setattr(label_noise, "ROWS", rows)
    others = [(i, 30, 5 * i, 4 + i % 3, 4) for i in range(3, 10)]
    ids = canvas((1, 10, 10, 12, 12), (2, 11, 11, 11, 11), *others)
    assert noise(ids) == {"labelled-twice": (1,)}
