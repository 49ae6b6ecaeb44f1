"""Panoptic evaluator on a tiny dataset on disk, whose categories are sky (stuff) and cat."""

import json
import logging

import numpy as np
import pytest
from panopticapi import evaluation as official
from PIL import Image

from kmax_deeplab.d2 import panoptic_evaluator
from kmax_deeplab.d2.panoptic_evaluator import PanopticEvaluator
from tests.d2.outputs import result, run


def test_a_perfect_prediction_scores_100_under_detectron2s_names(dataset, tmp_path, logged, caplog):
    caplog.set_level(logging.INFO, "kmax_deeplab")
    evaluator = PanopticEvaluator(dataset.entry["name"], str(tmp_path))
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
    evaluator = PanopticEvaluator(dataset.entry["name"], str(tmp_path), save_predictions=True)
    numbers = run(evaluator, result(shift=3), result(shift=8))["panoptic_seg"]
    monkeypatch.setattr(official.multiprocessing, "cpu_count", lambda: 1)
    files = dataset.entry["json"], str(tmp_path / "predictions.json")
    expected = official.pq_compute(*files, gt_folder=dataset.entry["pngs"])
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for metric in ("pq", "sq", "rq"):
            assert numbers[metric.upper() + suffix] == 100 * expected[group][metric]
    assert 50 < numbers["PQ_th"] < 100


def test_pictures_are_drawn_for_the_number_asked_for(dataset, tmp_path):
    evaluator = PanopticEvaluator(dataset.entry["name"], str(tmp_path), save_pictures=1)
    run(evaluator, result(), result())
    pictures = list((tmp_path / "pictures").rglob("*.png"))
    assert pictures == [tmp_path / "pictures" / "0" / "same.png"]
    assert np.asarray(Image.open(pictures[0])).shape == (64, 48, 3)


def test_the_main_process_adds_up_all_ranks_and_the_others_return_nothing(dataset, monkeypatch):
    name = dataset.entry["name"]
    first, second = PanopticEvaluator(name, None), PanopticEvaluator(name, None)
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
    assert together == run(PanopticEvaluator(name, None), result(), result(shift=8))


def test_images_without_prediction_are_named_unless_a_part_is_evaluated(dataset):
    name = dataset.entry["name"]
    with pytest.raises(ValueError, match=r"1 of 2 images of .* e\.g\. \[2\]"):
        run(PanopticEvaluator(name, None), result())
    numbers = run(PanopticEvaluator(name, None, image_ids=[1]), result())
    assert numbers["panoptic_seg"]["PQ"] == 100


def test_strange_images_and_missing_files_are_named(dataset):
    evaluator = PanopticEvaluator(dataset.entry["name"], None)
    with pytest.raises(ValueError, match=r"image 9 is not annotated in .*panoptic\.json"):
        evaluator.process([{"image_id": 9}], [result()])
    (dataset.root / "pngs/0/same.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0/same\.png is missing.*restore it"):
        evaluator.process([{"image_id": 1}], [result()])
    with pytest.raises(ValueError, match="need an output_dir"):
        PanopticEvaluator(dataset.entry["name"], None, save_pictures=1)
