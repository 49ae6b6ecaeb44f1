"""Figures of the benchmarks against the official tools on the files that were written."""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from panopticapi import evaluation as panopticapi
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.datasets.oracle import Oracle

pytestmark = pytest.mark.slow


def test_panoptic_quality_is_panopticapis(benchmark, scored, monkeypatch):
    folder, results = scored
    metadata = MetadataCatalog.get(benchmark.test_set)
    monkeypatch.setattr(panopticapi.multiprocessing, "cpu_count", lambda: 1)
    expected = panopticapi.pq_compute(
        metadata.panoptic_json, str(folder / "predictions.json"), gt_folder=metadata.panoptic_root
    )
    numbers = results["panoptic_seg"]
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for metric in ("pq", "sq", "rq"):
            assert numbers[metric.upper() + suffix] == 100 * expected[group][metric]
    assert 20 < numbers["PQ"] < 95


def test_instance_ap_is_that_of_pycocotools_or_cityscapes_scripts(benchmark, scored):
    folder, results = scored
    metadata = MetadataCatalog.get(benchmark.test_set)
    if benchmark.name == "cityscapes":
        expected = cityscapes_ap(Path(metadata.gt_dir), folder / "cityscapes_instances")
    else:
        expected = coco_ap(metadata.json_file, folder / "coco_instances_results.json")
    numbers = results["segm"]
    assert [numbers["AP"], numbers["AP50"]] == [100 * share for share in expected]
    assert 10 < numbers["AP"] < 95


def coco_ap(truth: str, predictions: Path) -> tuple[float, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO(truth)
        evaluation = COCOeval(true, true.loadRes(str(predictions)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


def cityscapes_ap(truth: Path, predictions: Path) -> tuple[float, float]:
    from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as official

    official.args.predictionPath, official.args.predictionWalk = str(predictions), None
    official.args.gtInstancesFile = str(predictions / "again.json")
    truths = [str(path) for path in sorted(truth.glob("*/*_gtFine_instanceIds.png"))]
    pairs = [official.getPrediction(path, official.args) for path in truths]
    before = os.getcwd()
    os.chdir(predictions)  # the official tool leaves a file behind
    averages = official.evaluateImgLists(pairs, truths, official.args)["averages"]
    os.chdir(before)
    return averages["allAp"], averages["allAp50%"]


def test_semantic_iou_is_that_of_cityscapes_scripts_or_of_counted_pixels(benchmark, scored):
    folder, results = scored
    if benchmark.name == "cityscapes":
        truth = Path(MetadataCatalog.get(benchmark.test_set).gt_dir)
        expected = cityscapes_iou(truth, folder / "cityscapes_semantic")
    else:
        expected = counted_iou(benchmark.test_set)
    numbers = results["sem_seg"]
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert 20 < min(expected.values()) < max(expected.values()) < 100
    boundary = [value for name, value in numbers.items() if name.startswith("BoundaryIoU-")]
    assert benchmark.name == "cityscapes" or 0 < np.nanmean(boundary) < 100


def cityscapes_iou(truth: Path, predictions: Path) -> dict[str, float]:
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

    official.args.predictionPath, official.args.predictionWalk = str(predictions), None
    truths = [str(path) for path in sorted(truth.glob("*/*_gtFine_labelIds.png"))]
    pairs = [official.getPrediction(official.args, path) for path in truths]
    scores = official.evaluateImgLists(pairs, truths, official.args)
    names = ("IoU", "iIoU", "IoU_sup", "iIoU_sup")
    kinds = ("Classes", "InstClasses", "Categories", "InstCategories")
    return {n: 100 * scores[f"averageScore{k}"] for n, k in zip(names, kinds, strict=True)}


def counted_iou(dataset_name: str) -> dict[str, float]:
    """Counts the pixels of all images, whatever they show, on the PNGs of classes."""
    metadata, oracle = MetadataCatalog.get(dataset_name), Oracle(dataset_name)
    true, predicted = [], []
    for record in oracle.records.values():
        name = Path(record["file_name"]).with_suffix(".png").name
        with Image.open(Path(metadata.sem_seg_root, name)) as file:
            classes = np.asarray(file)
        true.append(classes[classes != 255])
        predicted.append(oracle.predict(record)["sem_seg"].argmax(0).numpy()[classes != 255])
    true, predicted = np.concatenate(true), np.concatenate(predicted)
    iou = {
        metadata.categories.names[index]: 100
        * ((true == index) & (predicted == index)).sum()
        / ((true == index) | (predicted == index)).sum()
        for index in np.unique(true)
    }
    return {"mIoU": np.mean(list(iou.values())), **{f"IoU-{n}": v for n, v in iou.items() if v}}
