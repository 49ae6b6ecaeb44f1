"""Preparation scripts on small faithful trees."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from PIL import Image

from kmax_deeplab.data.format.pngs import read_ids
from tests.datasets.prepared import BENCHMARKS

COCO, CITYSCAPES, ADE20K = BENCHMARKS

FIRST_PNGS = {
    "coco": "coco/panoptic_semseg_val2017/*.png",
    "cityscapes": "cityscapes/gtFine/cityscapes_panoptic_val/*.png",
    "ade20k": "ADEChallengeData2016/ade20k_panoptic_val/*.png",
}


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def copied(datasets_root, tmp_path):
    """A copy of all prepared trees."""
    return shutil.copytree(datasets_root, tmp_path / "copy")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_preparing_again_mends_what_is_broken_and_touches_nothing_else(benchmark, copied):
    kept, broken = sorted(copied.glob(FIRST_PNGS[benchmark.name]))[:2]
    whole = pixels(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*.png")}
    benchmark.script().main(["--root", str(copied), "--workers", "1", "--splits", "val"])
    assert np.array_equal(pixels(broken), whole)
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    # Cityscapes' tool converts a split as a whole.
    assert broken in changed
    assert benchmark is CITYSCAPES or kept not in changed
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*.png")}
    benchmark.script().main(["--root", str(copied), "--workers", "1"])
    assert before == {path: path.stat().st_mtime_ns for path in copied.rglob("*.png")}
    assert not list(copied.rglob("*.partial*"))


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_what_was_not_downloaded_is_named(benchmark, tmp_path):
    (tmp_path / "coco").mkdir()
    (tmp_path / "cityscapes").mkdir()
    with pytest.raises(
        FileNotFoundError, match=rf"{tmp_path}.* does not exist; download .*zip|tar"
    ):
        benchmark.script().main(["--root", str(tmp_path), "--workers", "1"])


def test_cocos_semantic_pngs_hold_the_133_classes_in_order_of_their_ids(datasets_root):
    coco = datasets_root / "coco"
    content = json.loads((coco / "annotations/panoptic_val2017.json").read_text())
    order = [category["id"] for category in COCO_CATEGORIES]
    for annotation in content["annotations"]:
        ids = read_ids(coco / "panoptic_val2017" / annotation["file_name"])
        expected = np.full(ids.shape, 255)
        for segment in annotation["segments_info"]:
            expected[ids == segment["id"]] = order.index(segment["category_id"])
        semantic = pixels(coco / "panoptic_semseg_val2017" / annotation["file_name"])
        assert semantic.dtype == np.uint8
        assert np.array_equal(semantic, expected)
        assert {255} < set(np.unique(semantic))


def test_cityscapes_files_are_those_of_the_official_tools(datasets_root, tmp_path):
    truth = datasets_root / "cityscapes/gtFine"
    with contextlib.redirect_stdout(io.StringIO()):
        convert2panoptic(str(truth), str(tmp_path), setNames=["train", "val"])
    official = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(official) == 7 + 2
    for path in official:
        assert path.read_bytes() == (truth / path.relative_to(tmp_path)).read_bytes()
    crowds = json.loads((truth / "cityscapes_panoptic_val.json").read_text())["annotations"]
    assert any(s["iscrowd"] for annotation in crowds for s in annotation["segments_info"])
    for path in truth.rglob("*_labelTrainIds.png"):
        labels = pixels(path.with_name(path.name.replace("labelTrainIds", "labelIds")))
        assert np.array_equal(pixels(path) == 255, np.isin(labels, [0, 1, 3]))


def test_ade20k_lays_the_instances_of_things_over_stuff(datasets_root):
    script, ade = ADE20K.script(), datasets_root / "ADEChallengeData2016"
    bed = script.CATEGORIES.names.index("bed")
    assert script.THINGS[0] == bed == 7
    #                  wall, bed without instance, floor, nothing
    scene = np.array([[1, 1, bed + 1, bed + 1, 4, 0]], dtype=np.uint8)
    instances = np.zeros((1, 6, 3), dtype=np.uint8)
    instances[0, 1:3] = (1, 5, 0)
    instances[0, 5] = (1, 6, 0)
    ids = script.panoptic_ids(scene, instances)
    assert ids.tolist() == [[1000, 8005, 8005, 0, 4000, 8006]]
    segments = script.segments_of(ids)
    assert [(s["category_id"], s["area"]) for s in segments] == [(0, 1), (3, 1), (7, 2), (7, 1)]
    content = json.loads((ade / "ade20k_panoptic_val.json").read_text())
    assert content["images"][0]["id"] == "ADE_val_00000001"
    assert sum(category["isthing"] for category in content["categories"]) == 100
    scene = pixels(ade / "annotations/validation/ADE_val_00000001.png")
    semantic = pixels(ade / "annotations_detectron2/validation/ADE_val_00000001.png")
    assert np.array_equal(semantic.astype(int), np.where(scene == 0, 255, scene.astype(int) - 1))
    instances = json.loads((ade / "ade20k_instance_val.json").read_text())
    assert len(instances["annotations"]) == 3 * 4
    assert [a["id"] for a in instances["annotations"]] == list(range(1, 13))


def test_ade20k_annotations_that_contradict_each_other_are_named(copied):
    path = copied / "ADEChallengeData2016/annotations_instance/validation/ADE_val_00000002.png"
    Image.fromarray(np.full((65, 96, 3), 101, np.uint8)).save(path)
    (copied / "ADEChallengeData2016/ade20k_panoptic_val.json").unlink()
    with pytest.raises(
        ValueError, match=r"ADE_val_00000002\.png: has instance categories above 100"
    ):
        (copied / "annotations_instance.tar").unlink()
        ADE20K.script().main(["--root", str(copied), "--workers", "1", "--splits", "val"])
