"""Evaluators on a tiny dataset on disk, whose categories are sky (stuff, id 7) and cat (id 3)."""

import json
import logging

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.structures import Instances
from panopticapi import evaluation as official
from PIL import Image

from kmax_deeplab.d2 import panoptic_evaluator
from kmax_deeplab.d2.config import add_kmax_deeplab_config
from kmax_deeplab.d2.datasets import register_panoptic
from kmax_deeplab.d2.evaluation import (
    PanopticEvaluator,
    build_evaluator,
    evaluated_records,
    verify,
)

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


def config(**switches):
    """A config with only the given outputs on."""
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    for key in ("PANOPTIC_ON", "SEMANTIC_ON", "INSTANCE_ON"):
        cfg.MODEL.KMAX_DEEPLAB.TEST[key] = switches.get(key, False)
    return cfg


@pytest.mark.parametrize(
    ("key", "place"), [("SEMANTIC_ON", "sem_seg_root"), ("INSTANCE_ON", "json_file")]
)
def test_official_ground_truth_that_is_missing_is_named_with_the_remedy(
    dataset, tmp_path, key, place
):
    setattr(MetadataCatalog.get(dataset.entry["name"]), place, str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/nowhere.*datasets/README.md.*{key}"):
        build_evaluator(config(**{key: True}), dataset.entry["name"], str(tmp_path))


def test_a_dataset_that_is_not_panoptic_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'voc_2007_val' has no panoptic_json"):
        build_evaluator(config(PANOPTIC_ON=True), "voc_2007_val", str(tmp_path))


def test_a_config_without_outputs_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        build_evaluator(config(), dataset.entry["name"], str(tmp_path))


def found_instances(shift=0):
    """The cat, `shift` pixels too low, and the sky, which is no thing."""
    rows, columns = CAT_BOX
    masks = torch.zeros(2, 64, 48, dtype=torch.bool)
    masks[0, rows.start + shift : rows.stop + shift, columns] = True
    found = Instances((64, 48), pred_masks=masks)
    found.scores, found.pred_classes = torch.tensor([0.9, 0.8]), torch.tensor([CAT, SKY])
    return found


def test_instances_are_compared_with_an_instance_json_where_the_dataset_has_one(dataset, tmp_path):
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
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances()})
    assert numbers["segm"]["AP"] == numbers["segm"]["AP-cat"] == pytest.approx(100)


def test_without_an_instance_json_the_segments_of_things_are_the_ground_truth(dataset, tmp_path):
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances(3)})
    # IoU 29/35 = 0.83: the shifted cat is right at 7 of the 10 thresholds.
    assert numbers["segm"]["AP50"] == pytest.approx(100)
    # At the others recall ends at one half: 51 of the 101 points of the curve.
    assert numbers["segm"]["AP"] == pytest.approx(100 * (7 + 3 * 51 / 101) / 10)
    crowded = dataset.content["annotations"][1]["segments_info"][1]
    crowded["iscrowd"] = 1
    dataset.write_json()
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances(3)})
    assert numbers["segm"]["AP"] == pytest.approx(100)  # what lies on a crowd is not counted


def test_nothing_found_is_an_ap_of_zero(dataset, tmp_path):
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    nothing = {"instances": found_instances()[:0]}
    assert run(evaluator, nothing, nothing)["segm"]["AP"] == 0


def sem_seg(shift=0):
    """Scores of sky and cat, the cat `shift` pixels too low."""
    rows, columns = CAT_BOX
    scores = torch.zeros(2, 64, 48)
    scores[SKY] = 0.5
    scores[CAT, rows.start + shift : rows.stop + shift, columns] = 1
    return {"sem_seg": scores}


def run_semantic(dataset, folder, *results):
    evaluator = build_evaluator(config(SEMANTIC_ON=True), dataset.entry["name"], str(folder))
    evaluator.reset()
    files = [str(dataset.root / f"images/part/{number}.jpg") for number in range(len(results))]
    for file, output in zip(files, results, strict=True):
        evaluator.process([{"file_name": file}], [output])
    return evaluator.evaluate()["sem_seg"]


def test_without_semantic_pngs_the_classes_of_the_segments_are_the_ground_truth(dataset, tmp_path):
    numbers = run_semantic(dataset, tmp_path, sem_seg(), sem_seg(shift=4))
    cat, moved, sky = 32 * 24, 4 * 24, 64 * 48 - 64 - 32 * 24
    cat_iou = (2 * cat - moved) / (2 * cat + moved)
    sky_iou = (2 * sky - moved) / (2 * sky + moved)  # the unlabelled corner counts nowhere
    assert numbers["IoU-cat"] == pytest.approx(100 * cat_iou)
    assert numbers["IoU-sky"] == pytest.approx(100 * sky_iou)
    assert numbers["mIoU"] == pytest.approx(50 * (cat_iou + sky_iou))
    assert 0 < numbers["BoundaryIoU-cat"] < numbers["IoU-cat"]
    assert not (tmp_path / "sem_seg_predictions.json").exists()


def test_semantic_pngs_are_the_ground_truth_where_the_dataset_has_them(dataset, tmp_path):
    truth = np.zeros((64, 48), dtype=np.uint8)  # nothing but sky
    for number in (0, 1):
        dataset.write_image(f"semantic/part/{number}.png", truth)
    MetadataCatalog.get(dataset.entry["name"]).sem_seg_root = str(dataset.root / "semantic")
    numbers = run_semantic(dataset, tmp_path, sem_seg(), sem_seg())
    assert numbers["mIoU"] == pytest.approx(100 * (1 - 32 * 24 / (64 * 48)))
    dataset.write_image("semantic/part/1.png", truth + 7)
    with pytest.raises(ValueError, match=r"part/1\.png: a semantic PNG .* this one \[7\]"):
        run_semantic(dataset, tmp_path, sem_seg(), sem_seg())


def test_a_part_of_a_dataset_is_spread_over_it_and_scored_alone(
    tiny_dataset, tmp_path, logged, caplog
):
    caplog.set_level(logging.INFO, "kmax_deeplab")
    dataset = tiny_dataset((1, 2, 3, 4))
    register_panoptic(**dataset.entry)
    cfg = config(PANOPTIC_ON=True, INSTANCE_ON=True)
    cfg.TEST.MAX_IMAGES = 2
    name = dataset.entry["name"]
    assert [record["image_id"] for record in evaluated_records(cfg, name)] == [1, 3]
    evaluator = build_evaluator(cfg, name, str(tmp_path))
    evaluator.reset()
    for image_id in (1, 3):
        output = {**result(), "instances": found_instances()}
        evaluator.process([{"image_id": image_id}], [output])
    results = evaluator.evaluate()
    assert results["panoptic_seg"]["PQ"] == results["segm"]["AP"] == pytest.approx(100)
    assert json.loads((tmp_path / "results.json").read_text())["num_images"] == 2
    assert any("the figures are of 2 images" in message for message in logged)


def test_expected_results_pass_or_end_the_run(dataset):
    cfg = config()
    results = {"panoptic_seg": {"PQ": 53.3}, "sem_seg": {"mIoU": float("nan")}}
    cfg.TEST.EXPECTED_RESULTS = [["panoptic_seg", "PQ", 53.2, 0.2]]
    verify(cfg, results)
    for expected in (["panoptic_seg", "PQ", 53.0, 0.2], ["sem_seg", "mIoU", 1.0, 9.0]):
        cfg.TEST.EXPECTED_RESULTS = [expected]
        with pytest.raises(SystemExit):
            verify(cfg, results)
    cfg.TEST.EXPECTED_RESULTS = [["segm", "AP", 40.0, 1.0]]
    with pytest.raises(KeyError, match=r"\['segm'\]; there are \['panoptic_seg', 'sem_seg'\]"):
        verify(cfg, results)


def test_expected_results_of_several_datasets_name_the_dataset():
    cfg = config()
    cfg.DATASETS.TEST = ("one", "two")
    cfg.TEST.EXPECTED_RESULTS = [["two/panoptic_seg", "PQ", 10.0, 0.1]]
    verify(cfg, {"one": {"panoptic_seg": {"PQ": 90.0}}, "two": {"panoptic_seg": {"PQ": 10.0}}})
