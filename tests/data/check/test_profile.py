import numpy as np
import pytest

from kmax_deeplab.data.check.profile import (
    describe_quantiles,
    least_input,
    profile_classes,
    profile_dataset,
    small_share,
    widest_tile,
)
from kmax_deeplab.data.check.window_queries import needed_in_windows

CATEGORIES = [
    {"id": 5, "name": "cell", "isthing": 1},
    {"id": 2, "name": "ground", "isthing": 0},
    {"id": 9, "name": "water", "isthing": 0},
]


def square(segment_id, left, top, side, category=5, **more):
    box = [left, top, side, side]
    return {"id": segment_id, "category_id": category, "area": side**2, "bbox": box, **more}


def content(*images):
    """Images of 100 x 200 pixels with these segments."""
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 100, "width": 200}
            for i in range(len(images))
        ],
        "annotations": [
            {"image_id": i, "file_name": f"{i}.png", "segments_info": segments}
            for i, segments in enumerate(images)
        ],
        "categories": CATEGORIES,
    }


@pytest.fixture
def profile():
    """Two small things far apart on ground, and a large one; a crowd counts for nothing."""
    ground = {"id": 9, "category_id": 2, "area": 9000, "bbox": [0, 0, 200, 100]}
    crowd = square(4, 0, 0, 2, iscrowd=1)
    first = [square(1, 0, 0, 4), square(2, 190, 90, 8), ground, crowd]
    return profile_dataset(content(first, [square(1, 20, 20, 40)]))


def test_segments_queries_and_classes_are_counted_without_crowds(profile):
    assert profile.needed == (3, 1)
    assert profile.thing_areas.tolist() == [16, 64, 1600]
    assert profile.thing_sides.tolist() == [4, 8, 40]
    assert profile.sizes.tolist() == [[100, 200], [100, 200]] and profile.one_size
    cell, ground, water = profile_classes(profile)
    assert (cell.name, cell.is_thing, cell.segments, cell.images) == ("cell", True, 3, 2)
    assert (ground.segments, ground.images, water.segments, water.images) == (1, 1, 0, 0)
    assert cell.share == pytest.approx(1680 / 10680) and water.share == 0


def test_a_thing_is_small_below_64_pixels_of_the_input(profile):
    assert small_share(profile, 200) == pytest.approx(1 / 3)  # 16, 64, 1600 pixels
    assert small_share(profile, 199) == pytest.approx(2 / 3)
    assert small_share(profile, 400) == 0  # 64 pixels of the least
    assert small_share(profile, 128, tile=64) == 0  # at twice their size, whatever the image's
    assert small_share(profile, 64, tile=64) == pytest.approx(1 / 3)


def test_the_least_input_and_the_widest_tile_leave_few_small_things(profile):
    assert least_input(profile) == 417  # the next 32k + 1 from 400
    assert small_share(profile, 417) == 0 and small_share(profile, 385) > 0
    assert least_input(profile, most=0.4) == 225
    assert widest_tile(profile, 257) == 128
    assert small_share(profile, 257, widest_tile(profile, 257)) == 0
    assert widest_tile(profile, 257, most=0.4) == 257


def test_windows_need_the_queries_of_what_lies_in_one_of_them(profile):
    assert needed_in_windows(profile, 200) == [3, 1]  # the whole image
    assert needed_in_windows(profile, 50) == [2, 1]  # a small thing and the ground
    crowded = [square(i, 10 * i, 10, 8) for i in range(1, 9)]
    pieces = [square(i, 10 * i, 10, 8, category=9) for i in range(1, 9)]
    assert needed_in_windows(profile_dataset(content(crowded, pieces)), 40) == [4, 1]


def test_a_dataset_without_things_has_no_small_ones():
    profile = profile_dataset(content([square(1, 0, 0, 100, category=2)]))
    assert small_share(profile, 33) == 0 and least_input(profile) == 33
    assert needed_in_windows(profile, 50) == [1]
    assert describe_quantiles(profile.thing_sides) == "none"


def test_what_cannot_be_measured_is_named():
    with pytest.raises(ValueError, match="no image of the dataset is annotated"):
        profile_dataset(content())
    broken = content([{**square(1, 0, 0, 4), "area": None}])
    with pytest.raises(ValueError, match=r"segment 1 of 0\.png has the area None.*--fix"):
        profile_dataset(broken)
    del broken["images"][0]["height"]
    with pytest.raises(ValueError, match=r"image 0 \(0\.jpg\) lacks 'height'"):
        profile_dataset(broken)
    strange = content([square(1, 0, 0, 4, category=77)])
    with pytest.raises(ValueError, match=r"segment 1 of 0\.png has the category 77"):
        profile_dataset(strange)


def test_quantiles_are_told_in_words():
    told = describe_quantiles(np.arange(101))
    assert told == "0 to 100, half at most 50, 90% from 5 to 95"
