"""Evaluators on a tiny dataset on disk, whose categories are sky (stuff, id 7) and cat (id 3)."""

import json
import logging

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.structures import Boxes, Instances
from panopticapi import evaluation as official
from PIL import Image

from kmax_deeplab.d2 import panoptic_evaluator
from kmax_deeplab.d2.config import add_kmax_deeplab_config
from kmax_deeplab.d2.datasets import register_panoptic
from kmax_deeplab.d2.evaluation import PanopticEvaluator, build_evaluator

SKY, CAT = 0, 1
CAT_BOX = (slice(16, 48), slice(12, 36))


@pytest.fixture
def dataset(tiny_dataset):
    """A registered dataset of two images whose PNGs have one basename in two folders."""
    dataset = tiny_dataset((1, 2))
    for number, annotation in enumerate(dataset.content["annotations"]):
        annotation["file_name"] = f"{number}/same.png"
        dataset.write_ids(f"pngs/{number}/same.png", dataset.ids())
    dataset.write_json()
    register_panoptic(**dataset.entry)
    yield dataset
    name = dataset.entry["name"]
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def result(shift=0):
    """What the model returns for an image: everything right, the cat `shift` pixels too low."""
    ids = torch.ones(64, 48, dtype=torch.int32)
    rows, columns = CAT_BOX
    ids[rows.start + shift : rows.stop + shift, columns] = 2
    segments = [
        {"id": 1, "isthing": False, "category_id": SKY},
        {"id": 2, "isthing": True, "category_id": CAT},
    ]
    image = torch.zeros(64, 48, 3, dtype=torch.uint8)
    return {"panoptic_seg": (ids, segments), "original_image": image}


def run(evaluator, *results):
    """Evaluates results of the images 1, 2, ..."""
    evaluator.reset()
    for number, output in enumerate(results, start=1):
        evaluator.process([{"image_id": number}], [output])
    return evaluator.evaluate()


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
    numbers = run(PanopticEvaluator(name, None, allow_missing=True), result())
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


def config(**switches):
    """A config with only the given outputs on."""
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    for key in ("PANOPTIC_ON", "SEMANTIC_ON", "INSTANCE_ON"):
        cfg.MODEL.KMAX_DEEPLAB.TEST[key] = switches.get(key, False)
    return cfg


@pytest.mark.parametrize("key", ["SEMANTIC_ON", "INSTANCE_ON"])
def test_outputs_whose_ground_truth_is_missing_are_refused(dataset, tmp_path, key):
    cfg = config(PANOPTIC_ON=True, **{key: True})
    with pytest.raises(ValueError, match=rf"{dataset.entry['name']}.*{key}"):
        build_evaluator(cfg, dataset.entry["name"], str(tmp_path))


def test_a_config_without_outputs_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        build_evaluator(config(), dataset.entry["name"], str(tmp_path))


def test_instances_of_things_get_their_ap_whatever_their_contiguous_id(dataset, tmp_path):
    rows, columns = CAT_BOX
    box = [columns.start, rows.start, 24, 32]
    left, top, right, bottom = box[0], box[1], columns.stop, rows.stop
    polygon = [left, top, right, top, right, bottom, left, bottom]
    annotations = [
        {"id": i, "image_id": i, "category_id": 3, "iscrowd": 0, "area": 24 * 32, "bbox": box}
        | {"segmentation": [polygon]}
        for i in (1, 2)
    ]
    images = [{"id": i, "height": 64, "width": 48} for i in (1, 2)]
    content = {"images": images, "annotations": annotations}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({**content, "categories": [{"id": 3, "name": "cat"}]}))
    MetadataCatalog.get(dataset.entry["name"]).json_file = str(path)
    masks = torch.zeros(2, 64, 48, dtype=torch.bool)
    masks[0, rows, columns] = True
    found = Instances((64, 48), pred_masks=masks, pred_boxes=Boxes(torch.zeros(2, 4)))
    found.scores, found.pred_classes = torch.tensor([0.9, 0.8]), torch.tensor([CAT, SKY])
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found}, {"instances": found})
    assert numbers["segm"]["AP"] == pytest.approx(100)
