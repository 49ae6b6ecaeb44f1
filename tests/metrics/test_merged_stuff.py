import numpy as np
import pytest
from panopticapi.evaluation import PQStat

from kmax_deeplab.metrics.merged_stuff import merge_stuff
from kmax_deeplab.metrics.panoptic_quality import LabelledMap, compare

SKY, CAT = 7, 300
TRUTH = LabelledMap(
    np.array([[1, 1, 2, 2], [3, 4, 5, 5]]),
    [
        {"id": 1, "category_id": SKY, "area": 2, "bbox": [0, 0, 2, 1]},
        {"id": 2, "category_id": SKY, "area": 2},
        {"id": 3, "category_id": CAT, "area": 1},
        {"id": 4, "category_id": CAT, "area": 1},
        {"id": 5, "category_id": SKY, "area": 2, "iscrowd": 1},
    ],
)


def test_stuff_of_a_class_becomes_one_segment_and_things_and_crowds_stay():
    merged = merge_stuff(TRUTH, {SKY})
    assert merged.ids.tolist() == [[1, 1, 1, 1], [3, 4, 5, 5]]
    assert [(s["id"], s["area"]) for s in merged.segments_info] == [(1, 4), (3, 1), (4, 1), (5, 2)]
    assert TRUTH.ids[0, 2] == 2
    assert TRUTH.segments_info[0]["area"] == 2


def test_truth_that_keeps_to_the_format_is_returned_as_it_is():
    assert merge_stuff(TRUTH, set()) is TRUTH


@pytest.mark.parametrize(("merge", "counts"), [(False, (0, 1, 2)), (True, (1, 0, 0))])
def test_one_predicted_segment_matches_the_merged_stuff_only(merge, counts):
    truth = merge_stuff(TRUTH, {SKY}) if merge else TRUTH
    predicted = LabelledMap(np.array([[1, 1, 1, 1], [0] * 4]), [{"id": 1, "category_id": SKY}])
    statistics = PQStat()
    compare(statistics, predicted, truth, {SKY, CAT}, "image")
    assert (statistics[SKY].tp, statistics[SKY].fp, statistics[SKY].fn) == counts
