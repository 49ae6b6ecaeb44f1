import numpy as np
from pycocotools import mask as masks

from kmax_deeplab.data.format.derived_truth import (
    encode_mask,
    encode_part,
    instance_annotations,
    semantic_map,
)

IDS = np.array([[0, 300, 300], [70_000, 70_000, 300]])
SEGMENTS = [{"id": 300, "category_id": 9}, {"id": 70_000, "category_id": 4, "iscrowd": 1}]


def test_pixels_get_the_class_of_their_segment_and_the_rest_is_void():
    classes = semantic_map(IDS, SEGMENTS, {4: 0, 9: 300}, void=301)
    assert classes.tolist() == [[301, 300, 300], [0, 0, 300]]


def test_segments_become_instances_and_crowds_stay_crowds():
    thing, crowd = instance_annotations(IDS, SEGMENTS)
    assert (thing["category_id"], thing["iscrowd"], thing["area"]) == (9, 0, 3)
    assert thing["bbox"] == [1, 0, 2, 2]
    assert np.array_equal(masks.decode(thing["segmentation"]), IDS == 300)
    assert (crowd["iscrowd"], crowd["area"]) == (1, 2)


def test_a_part_of_an_image_is_encoded_as_the_whole_would_be():
    rng = np.random.default_rng(0)
    for _ in range(100):
        whole = np.zeros(rng.integers(1, 9, 2), bool)
        top, left = (int(rng.integers(side)) for side in whole.shape)
        part = whole[top : top + 5, left : left + 5]
        part[:] = rng.random(part.shape) < 0.7
        if part.any():
            assert encode_part(part, (top, left), whole.shape) == encode_mask(whole)
