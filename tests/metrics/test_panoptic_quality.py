"""Panoptic quality by hand and against the official tool on files."""

import math
import pickle

import numpy as np
import pytest
from panopticapi import evaluation as official
from panopticapi.evaluation import PQStat

from kmax_deeplab.data.format.pngs import write_ids, write_predictions_json
from kmax_deeplab.metrics.panoptic_quality import LabelledMap, compare, per_category, summarise

CATEGORIES = [
    {"id": 10, "name": "sky", "isthing": 0},
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 25, "name": "dog", "isthing": 1},
    {"id": 4, "name": "road", "isthing": 0},
    {"id": 99, "name": "never seen", "isthing": 1},
]
IDS = {category["id"] for category in CATEGORIES}


def segment(segment_id, category_id, iscrowd=0):
    return {"id": segment_id, "category_id": category_id, "iscrowd": iscrowd}


def score(prediction, predicted, truth, true):
    """Compares one row of ids with another; returns tp, fp, fn and summed IoU by category."""
    statistics = PQStat()
    maps = LabelledMap(np.array([prediction]), predicted), LabelledMap(np.array([truth]), true)
    compare(*maps, IDS, "'a'").add_to(statistics)
    return {key: (s.tp, s.fp, s.fn, s.iou) for key, s in statistics.pq_per_cat.items()}


def test_an_overlap_above_one_half_matches_and_void_counts_for_nothing():
    truth = [1, 1, 1, 1, 0, 0]
    found = score([5, 5, 5, 0, 5, 5], [segment(5, 3)], truth, [segment(1, 3)])
    assert found == {3: (1, 0, 0, 3 / 4)}
    found = score([5, 5, 0, 0, 0, 0], [segment(5, 3)], truth, [segment(1, 3)])
    assert found == {3: (0, 1, 1, 0.0)}


def test_a_segment_of_another_category_is_false_and_the_true_one_missed():
    found = score([5, 5], [segment(5, 25)], [1, 1], [segment(1, 3)])
    assert found == {3: (0, 0, 1, 0.0), 25: (0, 1, 0, 0.0)}


def test_predictions_mostly_on_void_or_on_a_crowd_of_their_class_are_ignored():
    assert score([5, 5, 5], [segment(5, 3)], [0, 0, 1], [segment(1, 10)])[10] == (0, 0, 1, 0.0)
    crowd = [segment(1, 3, iscrowd=1)]
    assert score([5, 5, 6], [segment(5, 3), segment(6, 3)], [1, 1, 1], crowd) == {}
    assert score([5, 5], [segment(5, 25)], [1, 1], crowd) == {25: (0, 1, 0, 0.0)}


@pytest.mark.parametrize(
    ("prediction", "predicted", "message"),
    [
        ([5, 6], [segment(5, 3)], r"image 'a': segments \[6\] are in the map"),
        ([5, 5], [segment(5, 3), segment(6, 3)], r"image 'a': segments \[6\] are in segments_info"),
        ([5, 5], [segment(5, 8)], r"image 'a': category ids \[8\]"),
        ([5, 5, 5], [segment(5, 3)], "image 'a': the prediction has"),
    ],
)
def test_predictions_that_contradict_themselves_are_refused(prediction, predicted, message):
    with pytest.raises(ValueError, match=message):
        score(prediction, predicted, [1, 1], [segment(1, 3)])


def random_image(rng, truth):
    """(true or predicted map, segments): blocks of 6 x 6 pixels, shared and perturbed."""
    blocks = rng.integers(0, 7, (6, 8))
    if not truth:
        blocks = np.roll(blocks, 1, axis=rng.integers(0, 2)) if rng.random() < 0.3 else blocks
    ids = blocks.repeat(6, 0).repeat(6, 1)
    categories = rng.choice(sorted(IDS - {99}), 7)
    ids[rng.random(ids.shape) < 0.1] = 0 if truth else 3
    values = [int(i) for i in np.unique(ids) if i]
    scale = 9001 if truth else 1
    segments = [
        {**segment(scale * i, int(categories[i])), "area": int((ids == i).sum())} for i in values
    ]
    return ids * scale, segments


def random_pairs(count):
    """Pairs of labelled maps that agree in part, with void and crowds."""
    for seed in range(count):
        true_ids, true = random_image(np.random.default_rng(seed), truth=True)
        ids, predicted = random_image(np.random.default_rng(seed), truth=False)
        for index, entry in enumerate(true):
            entry["iscrowd"] = int(index == seed % 9)
        yield LabelledMap(ids, predicted), LabelledMap(true_ids, true)


def write(path, maps):
    """Writes maps in the official format."""
    annotations = []
    for number, labelled in enumerate(maps):
        write_ids(path.with_suffix("") / f"{number}.png", labelled.ids)
        entry = {"image_id": number, "file_name": f"{number}.png"}
        annotations.append({**entry, "segments_info": labelled.segments_info})
    write_predictions_json(path, annotations, CATEGORIES)
    return str(path)


def test_numbers_equal_those_of_the_official_tool_to_the_last_digit(tmp_path, monkeypatch):
    predictions, truths = zip(*random_pairs(12), strict=True)
    # The official sum depends on the number of processes; one process adds image by image.
    monkeypatch.setattr(official.multiprocessing, "cpu_count", lambda: 1)
    files = (
        write(tmp_path / "truth.json", truths),
        write(tmp_path / "predictions.json", predictions),
    )
    expected = official.pq_compute(*files)
    statistics = PQStat()
    for number, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        compare(prediction, truth, IDS, str(number)).add_to(statistics)
    found = summarise(statistics, CATEGORIES)
    for group, name in (("all", "All"), ("things", "Things"), ("stuff", "Stuff")):
        quality = found[group]
        values = {"pq": quality.pq, "sq": quality.sq, "rq": quality.rq}
        assert {**values, "n": quality.num_categories} == expected[name]
    assert 0.1 < found["all"].pq < 0.9
    for category_id, quality in per_category(statistics, CATEGORIES).items():
        if quality.num_categories:
            values = {"pq": quality.pq, "sq": quality.sq, "rq": quality.rq}
            assert values == expected["per_class"][category_id]


def test_images_of_several_processes_add_up_to_the_last_digit():
    """Sums of floats depend on their order, which is that of the images whoever compared them."""
    pairs = list(random_pairs(6))
    alone, together = PQStat(), PQStat()
    for number, pair in enumerate(pairs):
        compare(*pair, IDS, str(number)).add_to(alone)
    compared = {number: compare(*pairs[number], IDS, str(number)) for number in (5, 3, 0, 4, 1, 2)}
    compared = pickle.loads(pickle.dumps(compared))
    for number in range(6):
        compared[number].add_to(together)
    assert summarise(together, CATEGORIES) == summarise(alone, CATEGORIES)


def test_areas_are_counted_where_the_ground_truth_does_not_tell_them():
    told = next(random_pairs(1))
    untold = LabelledMap(
        told[1].ids,
        [
            {k: v for k, v in s.items() if k not in ("area", "iscrowd")}
            for s in told[1].segments_info
        ],
    )
    plain = LabelledMap(told[1].ids, [{**s, "iscrowd": 0} for s in told[1].segments_info])
    results = []
    for truth in (untold, plain):
        statistics = PQStat()
        compare(told[0], truth, IDS, "a").add_to(statistics)
        results.append(summarise(statistics, CATEGORIES)["all"])
    assert results[0] == results[1]


def test_categories_that_nobody_saw_have_no_quality():
    statistics = PQStat()
    assert math.isnan(summarise(statistics, CATEGORIES)["stuff"].pq)
    assert math.isnan(per_category(statistics, CATEGORIES)[99].sq)
