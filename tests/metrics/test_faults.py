"""Faults are told apart: the planted case of each kind, by hand."""

import numpy as np
import pytest
from panopticapi.evaluation import PQStat

from kmax_deeplab.metrics.faults import DatasetReport
from kmax_deeplab.metrics.panoptic_quality import LabelledMap, compare, summarise

CELL, DUST, GROUND = 4, 5, 9
CATEGORIES = [
    {"id": CELL, "name": "cell", "isthing": 1, "color": [200, 30, 30]},
    {"id": DUST, "name": "dust", "isthing": 1, "color": [30, 200, 30]},
    {"id": GROUND, "name": "ground", "isthing": 0, "color": [30, 30, 200]},
]


def labelled(ids, **classes):
    listed = [{"id": int(name[1:]), "category_id": c} for name, c in classes.items()]
    return LabelledMap(np.array(ids), listed)


def planted():
    """Ground, and of cells one found, one missed, one invented, one misnamed, one badly cut."""
    truth, found = np.ones((12, 30), int), np.ones((12, 30), int)
    truth[1:5, 1:5] = found[1:5, 1:5] = 2
    truth[1:5, 7:11] = 3
    found[1:5, 13:17] = 4
    truth[1:5, 19:23] = found[1:5, 19:23] = 5
    truth[7:11, 1:11], found[7:11, 1:5] = 6, 6
    classes = {"s1": GROUND, "s2": CELL}
    return (
        labelled(found, **classes, s4=CELL, s5=DUST, s6=CELL),
        labelled(truth, **classes, s3=CELL, s5=CELL, s6=CELL),
    )


@pytest.fixture
def report():
    report = DatasetReport(CATEGORIES)
    report.add(*planted(), "a")
    return report


def test_each_kind_of_fault_is_told_by_its_segments(report):
    faults = report.images[0].faults
    assert faults.good == [(1, 1), (2, 2)]
    assert faults.poor == [(6, 6)]
    assert faults.confused == [(5, 5)]
    assert faults.missed == [3]
    assert faults.invented == [4]
    assert report.kinds[CELL] == {"missed": 1, "invented": 1, "wrong class": 1, "poor shape": 1}
    assert report.confusion == {(CELL, DUST): 1}


def test_counts_are_those_of_panoptic_quality(report):
    cell, dust = report.statistics[CELL], report.statistics[DUST]
    assert (cell.tp, cell.fn, cell.fp) == (1, 3, 2)  # misnamed and badly cut ones are missed too
    assert (dust.tp, dust.fn, dust.fp) == (0, 0, 1)
    assert report.images[0].counts == {"matched": 2, "missed": 3, "invented": 3}
    assert report.by_category[CELL].pq == pytest.approx(1 / (1 + 0.5 * 3 + 0.5 * 2))
    assert report.images[0].quality == report.qualities["all"]


def test_segments_are_of_a_size_by_their_true_area(report):
    small, large = report.by_size["small"], report.by_size["large"]
    assert (small[CELL].tp, small[CELL].fn, small[CELL].fp) == (1, 3, 2)
    assert large[GROUND].tp + small[GROUND].tp == 1


def test_a_match_of_poor_shape_counts_as_matched():
    truth, found = np.ones((10, 10), int), np.ones((10, 10), int)
    truth[:, :6] = 2
    found[:, :4] = 2
    report = DatasetReport(CATEGORIES)
    sides = (labelled(x, s1=GROUND, s2=CELL) for x in (found, truth))
    image = report.add(*sides, "a")
    assert image.counts["matched"] == 2
    assert image.faults.poor == [(1, 1), (2, 2)]


def test_sums_are_those_of_panoptic_quality_to_the_last_bit():
    generator, report, known = np.random.default_rng(0), DatasetReport(CATEGORIES), PQStat()
    for _ in range(30):
        truth = generator.integers(1, 9, (6, 8)).repeat(5, 0).repeat(5, 1)
        found = np.where(generator.random(truth.shape) < 0.15, 1, truth)
        classes = {f"s{i}": (CELL, DUST, GROUND)[i % 3] for i in np.unique(truth)}
        sides = labelled(found, **classes), labelled(truth, **classes)
        report.add(*sides, "a")
        compare(*sides, {CELL, DUST, GROUND}, "a").add_to(known)
    for category in (CELL, DUST, GROUND):
        assert report.statistics[category].iou == known[category].iou
    assert report.qualities == summarise(known, CATEGORIES)


def test_crowds_and_void_are_no_faults():
    truth, found = np.zeros((4, 8), int), np.zeros((4, 8), int)
    truth[:, 4:] = 7
    found[:, :4], found[:, 4:] = 1, 2
    crowd = {"id": 7, "category_id": CELL, "iscrowd": 1}
    report = DatasetReport(CATEGORIES)
    image = report.add(labelled(found, s1=DUST, s2=CELL), LabelledMap(truth, [crowd]), "a")
    assert image.counts == {"matched": 0, "missed": 0, "invented": 0}
    assert not image.faults.missed
    assert not image.faults.invented
