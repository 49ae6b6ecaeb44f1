"""Panoptic evaluator on a tiny dataset on disk, whose categories are sky (stuff) and cat."""

import json
import logging
import math

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from panopticapi import evaluation as official
from PIL import Image

from kmax_deeplab.d2.data.catalog import align_dataset
from kmax_deeplab.d2.evaluation import panoptic as panoptic_evaluator
from kmax_deeplab.d2.evaluation.panoptic import InOrder, PanopticEvaluator
from kmax_deeplab.d2.evaluation.task import make_task
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import read_predictions
from tests.d2.evaluation.outputs import result, run


def evaluator_of(name, folder, **options):
    return PanopticEvaluator(make_task(name, folder, **options))


def test_a_perfect_prediction_scores_100_under_detectron2s_names(dataset, tmp_path, logged, caplog):
    caplog.set_level(logging.INFO, "kmax_deeplab")
    evaluator = evaluator_of(dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, result(), result())["panoptic_seg"]
    suffixes = ("", "_th", "_st", "-sky", "-cat")
    names = [metric + suffix for metric in ("PQ", "SQ", "RQ") for suffix in suffixes]
    assert numbers == dict.fromkeys(names, 100.0)
    assert "| cat" in logged[-1]
    written = json.loads((tmp_path / "panoptic_results.json").read_text())
    assert written == {"num_images": 2, **numbers}


def test_written_predictions_give_the_official_tool_the_same_numbers(
    dataset, tmp_path, monkeypatch
):
    for annotation in dataset.content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["area"] = int((dataset.ids() == segment["id"]).sum())
    dataset.content["annotations"][1]["segments_info"][1]["iscrowd"] = 1
    dataset.write_json()
    evaluator = evaluator_of(dataset.entry["name"], str(tmp_path), save_predictions=True)
    numbers = run(evaluator, result(shift=3), result(shift=8))["panoptic_seg"]
    monkeypatch.setattr(official.multiprocessing, "cpu_count", lambda: 1)
    files = dataset.entry["json"], str(tmp_path / "predictions.json")
    expected = official.pq_compute(*files, gt_folder=dataset.entry["pngs"])
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for metric in ("pq", "sq", "rq"):
            assert numbers[metric.upper() + suffix] == 100 * expected[group][metric]
    assert 50 < numbers["PQ_th"] < 100


def test_pictures_are_drawn_for_the_number_asked_for(dataset, tmp_path):
    evaluator = evaluator_of(dataset.entry["name"], str(tmp_path), save_pictures=1)
    run(evaluator, result(), result())
    pictures = list((tmp_path / "pictures").rglob("*.png"))
    assert pictures == [tmp_path / "pictures" / "0" / "same.png"]
    assert np.asarray(Image.open(pictures[0])).shape == (64, 48, 3)


def test_the_main_process_adds_up_all_ranks_and_the_others_return_nothing(dataset, monkeypatch):
    name = dataset.entry["name"]
    first, second = (
        evaluator_of(name, None),
        evaluator_of(name, None),
    )
    first.process([{"image_id": 1}], [result()])
    second.process([{"image_id": 2}], [result(shift=8)])
    sent = []
    monkeypatch.setattr(panoptic_evaluator.comm, "gather", lambda data: sent.append(data) or [])
    monkeypatch.setattr(panoptic_evaluator.comm, "is_main_process", lambda: False)
    assert second.evaluate() == {}
    monkeypatch.setattr(panoptic_evaluator.comm, "is_main_process", lambda: True)
    monkeypatch.setattr(panoptic_evaluator.comm, "gather", lambda data: [data, *sent])
    together = first.evaluate()
    monkeypatch.undo()
    assert together == run(evaluator_of(name, None), result(), result(shift=8))


def test_images_without_prediction_are_named_unless_a_part_is_evaluated(dataset):
    name = dataset.entry["name"]
    with pytest.raises(ValueError, match=r"1 of 2 images of .* e\.g\. \[2\]"):
        run(evaluator_of(name, None), result())
    numbers = run(evaluator_of(name, None, records=DatasetCatalog.get(name)[:1]), result())
    assert numbers["panoptic_seg"]["PQ"] == 100


def test_strange_images_and_missing_files_are_named(dataset):
    evaluator = evaluator_of(dataset.entry["name"], None)
    with pytest.raises(ValueError, match=r"image 9 is not annotated in .*panoptic\.json"):
        evaluator.process([{"image_id": 9}], [result()])
    (dataset.root / "pngs/0/same.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0/same\.png is missing.*restore it"):
        evaluator.process([{"image_id": 1}], [result()])
    (dataset.root / "pngs/1/same.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1/same\.png cannot be read"):
        evaluator.process([{"image_id": 2}], [result()])
    with pytest.raises(ValueError, match="need a folder"):
        evaluator_of(dataset.entry["name"], None, save_pictures=1)


@pytest.mark.parametrize("area", [None, 1, 0, "many", [], 1e9])
def test_what_the_json_says_of_areas_has_no_influence(dataset, area):
    name = dataset.entry["name"]
    expected = run(evaluator_of(name, None), result(shift=3), result(shift=8))
    assert 50 < expected["panoptic_seg"]["SQ"] < 100
    for annotation in dataset.content["annotations"]:
        for segment in annotation["segments_info"]:
            segment.update(area=area, bbox=area)
    dataset.write_json()
    assert run(evaluator_of(name, None), result(shift=3), result(shift=8)) == expected


def test_pngs_with_swapped_channels_or_of_another_set_end_the_evaluation(dataset):
    evaluator = evaluator_of(dataset.entry["name"], None)
    ids = dataset.ids()
    swapped = ids % 256 * 65536 + ids // 256 % 256 * 256 + ids // 65536
    for wrong, complaint in ((swapped, r"\[2883840, 7344385\]"), (ids + 1, r"\[1, 301, 70001\]")):
        dataset.write_ids("pngs/0/same.png", wrong)
        with pytest.raises(ValueError, match=rf"0/same\.png: ids {complaint} are in the PNG, not"):
            evaluator.process([{"image_id": 1}], [result()])


def test_listed_segments_without_a_pixel_count_for_nothing_and_are_counted(dataset, logged):
    name = dataset.entry["name"]
    dataset.content["annotations"][0]["segments_info"].append({"id": 9, "category_id": 3})
    dataset.write_json()
    numbers = run(evaluator_of(name, None), result(), result())["panoptic_seg"]
    assert numbers["PQ"] == 100
    assert any("1 listed segments have no pixel" in m and "segment 9" in m for m in logged)


def test_predictions_of_a_class_that_the_split_does_not_list_become_void(dataset, tmp_path):
    name = dataset.entry["name"]
    dog = {"id": 8, "name": "dog", "isthing": 1}
    align_dataset(name, Categories.from_json([*dataset.content["categories"], dog]))
    evaluator = evaluator_of(name, str(tmp_path), save_predictions=True, save_pictures=1)
    results = [result(), result()]
    ids, segments = results[0]["panoptic_seg"]
    ids[:16, :12] = 3
    segments.append({"id": 3, "isthing": True, "category_id": 2})
    numbers = run(evaluator, *results)["panoptic_seg"]
    assert numbers["RQ"] == 100 and 90 < numbers["PQ-sky"] < 100 and "PQ-dog" not in numbers
    first, _ = read_predictions(tmp_path / "predictions.json")
    assert [s["category_id"] for s in first[0]["segments_info"]] == [7, 3]
    assert not first[1][:16, :12].any()


def test_an_interrupted_evaluation_leaves_the_results_of_the_one_before(dataset, tmp_path):
    name = dataset.entry["name"]
    evaluator = evaluator_of(name, str(tmp_path), save_predictions=True, save_pictures=1)
    run(evaluator, result(), result())

    def content():
        return {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    before = content()
    assert len(before) == 5  # two JSONs, two predictions, one picture
    with pytest.raises(ValueError, match="have no prediction"):
        run(evaluator, result(shift=8))
    assert {path: content()[path] for path in before} == before
    run(evaluator, result(shift=8), result(shift=8))
    assert content().keys() == before.keys()
    changed = [path.name for path, old in before.items() if content()[path] != old]
    assert changed.count("same.png") >= 2 and "panoptic_results.json" in changed


def test_predictions_do_not_follow_a_link_to_other_files(dataset, tmp_path):
    png = dataset.root / "pngs/0/same.png"
    before = png.read_bytes()
    (tmp_path / "predictions").symlink_to(dataset.root / "pngs")
    evaluator = evaluator_of(dataset.entry["name"], str(tmp_path), save_predictions=True)
    run(evaluator, result(shift=8), result())
    assert png.read_bytes() == before
    assert not (tmp_path / "predictions").is_symlink()
    assert (tmp_path / "predictions/0/same.png").is_file()


def test_areas_of_any_kind_give_one_pq(dataset):
    name, expected = dataset.entry["name"], None
    segments = [s for a in dataset.content["annotations"] for s in a["segments_info"]]
    true = 32 * 24
    for change in ({}, {"area": 1.3 * true}, {"area": true}, {"area": 1}, {"area": 0}):
        for segment in segments:
            segment.pop("area", None)
            segment.update(change)
        dataset.write_json()
        found = run(evaluator_of(name, None), result(shift=3), result(shift=8))
        expected = expected or found
        assert found == expected and found["panoptic_seg"]["SQ"] < 100


def test_a_class_named_like_a_group_has_a_row_of_its_own(dataset, logged):
    pairs = zip(dataset.content["categories"], ("stuff", "all"), strict=True)
    listed = [{**category, "name": name} for category, name in pairs]
    dataset.content["categories"] = listed
    dataset.write_json()
    MetadataCatalog.get(dataset.entry["name"]).describe(Categories.from_json(listed))
    numbers = run(evaluator_of(dataset.entry["name"], None), result(shift=8), result())
    table = next(message for message in logged if "Panoptic quality" in message)
    rows = [line.split("|")[1].strip() for line in table.splitlines()[3:]]
    assert rows == ["all", "things", "stuff", "stuff", "all"]
    assert numbers["panoptic_seg"]["PQ-all"] == numbers["panoptic_seg"]["PQ_th"]


def test_what_is_done_later_is_done_in_order_and_its_error_is_raised():
    later, done = InOrder(), []
    for number in range(3 * InOrder.MOST_WAITING):
        later.do(done.append, number)
    later.finish()
    assert done == list(range(3 * InOrder.MOST_WAITING))
    later.do(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        later.finish()


def test_ground_truth_that_was_read_before_is_taken(dataset):
    evaluator = evaluator_of(dataset.entry["name"], None)
    shape = result()["panoptic_seg"][0].shape
    nothing = np.zeros(shape, np.int32), []
    given = [{"image_id": r["image_id"], "truth": nothing} for r in evaluator._task.records]
    evaluator.process(given, [result() for _ in given])
    assert math.isnan(evaluator.evaluate()["panoptic_seg"]["PQ"])  # all predicted is on void
