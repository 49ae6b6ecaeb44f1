import json

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.writer import DrawnSegment, describe_segments, write_panoptic_json

CATEGORIES = Categories.from_json([{"id": 9, "name": "cat", "isthing": 1, "color": [1, 2, 3]}])


def test_segments_have_areas_and_boxes_and_covered_ones_are_left_out():
    segment_map = np.array([[0, 1, 1], [0, 1, 3]])
    segments = [DrawnSegment(9), DrawnSegment(9), DrawnSegment(9, iscrowd=True)]
    assert describe_segments(segment_map, segments) == [
        {"id": 1, "category_id": 9, "iscrowd": 0, "area": 3, "bbox": [1, 0, 2, 2]},
        {"id": 3, "category_id": 9, "iscrowd": 1, "area": 1, "bbox": [2, 1, 1, 1]},
    ]


def test_a_json_is_written_entry_by_entry_and_read_as_one(tmp_path):
    images = [{"id": number} for number in range(3)]
    for some in ([], images[:1], images):
        write_panoptic_json(tmp_path / "a.json", iter(some), iter(some), CATEGORIES)
        assert json.loads((tmp_path / "a.json").read_text()) == {
            "images": some,
            "annotations": some,
            "categories": [{"id": 9, "name": "cat", "isthing": 1, "color": [1, 2, 3]}],
        }
