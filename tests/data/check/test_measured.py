"""What a dataset holds, by hand values."""

import numpy as np
import pytest

from kmax_deeplab.data.check.dataset_check import ClassCount, Source, check_dataset
from kmax_deeplab.data.check.measured import (
    INPUTS,
    class_shares,
    describe_balance,
    profile_report,
    propose_input,
    small_by_input,
    summarize,
)
from kmax_deeplab.data.check.profile import profile_dataset
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from tests.own_data import SIZE, OwnData, truncate


@pytest.fixture
def data(tmp_path):
    """Four images with a cell of 600 pixels each, and a second one of four pixels."""
    data = OwnData(tmp_path)
    ids = read_ids(data.png_path(0)).copy()
    ids[2:4, 60:62] = 5
    write_ids(data.png_path(0), ids)
    data.segments(0).append({"id": 5, "category_id": 300, "iscrowd": 0})
    data.segments(0)[1]["area"] = 1  # of the JSON: wrong
    data.write_json()
    return data


def report_of(data):
    return check_dataset(Source("own", data.images, data.json, data.pngs))


def test_measures_are_those_of_the_pixels_and_crowds_are_left_out(data):
    profile = profile_report(report_of(data))
    assert sorted(profile.thing_areas.tolist()) == [4, 600, 600, 600, 600]
    assert profile.needed == (3, 2, 2, 2)
    assert profile.sizes.tolist() == [list(SIZE)] * 4
    assert profile.names == ("ground", "cell", "vessel")
    cell = np.flatnonzero(profile.areas == 600)[0]
    assert profile.boxes[cell].tolist() == [20, 10, 30, 20]


def test_they_are_what_a_sound_json_states(tmp_path):
    data = OwnData(tmp_path)
    measured, stated = profile_report(report_of(data)), profile_dataset(data.content)
    for name in ("sizes", "image", "category", "areas", "boxes"):
        assert np.array_equal(getattr(measured, name), getattr(stated, name))
    assert (measured.needed, measured.names) == (stated.needed, stated.names)


def test_small_things_are_counted_for_each_input(data):
    """At 257 pixels 72 become 257: 4 pixels become 51; at 385 they are 114."""
    profile = profile_report(report_of(data))
    small = small_by_input(profile)
    assert [side for side, *_ in small] == list(INPUTS)
    assert small[0] == (257, pytest.approx(0.2), 1)
    assert small[1] == (385, 0, 0)
    assert propose_input(profile).startswith("289×289 pixels or more leave at most 5%")  # 8 of 2


def test_windows_are_proposed_where_no_usual_input_is_enough():
    thing = {"id": 1, "category_id": 1, "area": 64, "bbox": [0, 0, 8, 8]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 100, "width": 4000}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [thing]}],
        "categories": [{"id": 1, "name": "cell", "isthing": 1}],
    }
    said = propose_input(profile_dataset(content))
    assert said.startswith("4001×4001 pixels would leave at most 5%")
    assert "INPUT.TILE_TEST 641 with inputs of 641" in said


def test_images_that_cannot_be_read_are_left_out(data):
    truncate(data.png_path(0))
    assert profile_report(report_of(data)).sizes.tolist() == [list(SIZE)] * 3
    for number in range(1, 4):
        data.png_path(number).unlink()
    assert profile_report(report_of(data)) is None
    assert dict(summarize(report_of(data)).facts)["annotated"].startswith("4 with PNGs")


def test_balance_names_the_largest_class_and_the_rare_ones():
    classes = [
        ClassCount("ground", False, 50, 0, 50, 900),
        ClassCount("cell", True, 60, 0, 9, 80),
        ClassCount("vessel", True, 1, 0, 1, 20),
        ClassCount("nerve", True, 0, 0, 0, 0),
    ]
    said = describe_balance(classes, 50)
    assert (
        said
        == "ground covers 90% of what is labelled; in fewer than 10 images: vessel (1), cell (9)"
    )
    assert describe_balance(classes, 9) == "ground covers 90% of what is labelled"
    assert describe_balance(classes[3:], 50) == "no class is used"
    assert class_shares(classes) == [0.9, 0.08, 0.02, 0]
    assert class_shares([]) == []


def test_images_without_segments_are_counted(data):
    data.segments(1).clear()
    data.write_json()
    assert dict(summarize(report_of(data)).facts)["without segments"] == "1"
