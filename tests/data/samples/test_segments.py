import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format.pngs import encode_ids, write_ids
from kmax_deeplab.data.samples.segments import (
    Segment,
    compact,
    find_runs,
    label_segments,
    read_true_ids,
)
from kmax_deeplab.structures import VOID

CAT, SKY = Segment(3, True), Segment(0, False)


def described(segment_id, category, isthing=True, iscrowd=0):
    return {"id": segment_id, "category_id": category, "isthing": isthing, "iscrowd": iscrowd}


def test_ids_become_segment_indices_and_crowds_become_void():
    ids = np.array([[0, 700000, 700000], [256, 9, 9]], dtype=np.int32)
    segment_map, segments, missing = label_segments(
        ids, [described(700000, 3), described(256, 0, isthing=False), described(9, 3, iscrowd=1)]
    )
    assert segments == (SKY, CAT) and missing == []  # ordered by id
    assert segment_map.tolist() == [[VOID, 1, 1], [0, VOID, VOID]]


def test_an_image_without_segments_is_all_void():
    segment_map, segments, missing = label_segments(np.zeros((2, 2), np.int32), [])
    assert segments == () == tuple(missing) and (segment_map == VOID).all()


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        ([described(5, 0)], r"\[8\] are in the PNG, not in the JSON"),
        ([described(256, 0)], r"\[5, 8\] are in the PNG, not in the JSON"),
        ([described(5, 0), described(5, 0)], "distinct"),
        ([described(0, 0)], "positive"),
    ],
)
def test_ids_that_disagree_are_named(listed, complaint):
    with pytest.raises(ValueError, match=complaint):
        label_segments(np.array([[0, 5, 8]]), listed)


def test_a_listed_segment_without_a_pixel_is_named_and_an_image_of_them_is_refused():
    listed = [described(5, 0), described(6, 0), described(8, 3)]
    segment_map, segments, missing = label_segments(np.array([[0, 5, 8]]), listed)
    assert missing == [6] and segments[segment_map[0, 2]] == CAT
    assert len(compact(segment_map, segments)[1]) == 2
    blank = np.zeros((2, 2), np.int32)
    with pytest.raises(ValueError, match=r"ids \[5, 6, 8\] are in the JSON, none is in the PNG"):
        label_segments(blank, listed)
    assert label_segments(blank, listed[:1])[2] == [5]  # one may well be lost


def test_ground_truth_of_another_set_or_with_swapped_channels_is_named(tmp_path):
    path, ids = tmp_path / "a.png", np.array([[300, 7], [0, 7]])
    write_ids(path, ids)
    listed = [described(7, 0), described(300, 3), described(9, 3)]
    found, missing = read_true_ids(path, listed, None)
    assert (found == ids).all() and missing == [9]
    Image.fromarray(encode_ids(ids)[..., ::-1].copy()).save(path)
    with pytest.raises(ValueError, match=rf"{path}: ids \[458752, 2883840\] are in the PNG, not"):
        read_true_ids(path, listed, None)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"{path} cannot be read"):
        read_true_ids(path, listed, None)


def test_tidy_merges_stuff_of_a_class_keeps_things_apart_and_drops_the_invisible():
    segment_map = np.array([[0, 1, 2], [3, 4, VOID]], dtype=np.int32)
    compacted, segments = compact(segment_map, (SKY, CAT, SKY, CAT, Segment(1, False), CAT))
    assert segments == (SKY, CAT, CAT, Segment(1, False))
    assert compacted.tolist() == [[0, 1, 0], [2, 3, VOID]]


def test_runs_of_equal_values_are_found_across_rows():
    values, lengths = find_runs(np.array([[5, 5, 0], [0, 0, 5], [5, 7, 5]]))
    assert values.tolist() == [5, 0, 5, 7, 5] and lengths.tolist() == [2, 3, 2, 1, 1]
    assert [part.tolist() for part in find_runs(np.full((2, 3), 4))] == [[4], [6]]
