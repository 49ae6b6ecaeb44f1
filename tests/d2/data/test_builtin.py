"""Registration of the benchmarks; what is in them is tested in tests/datasets/."""

import builtins
import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.d2.data.builtin import register_benchmarks

NAMES = [
    name.format(split)
    for split in ("train", "val")
    for name in (
        "coco_2017_{}_panoptic",
        "coco_2017_{}_panoptic_with_sem_seg",
        "cityscapes_fine_panoptic_{}",
        "ade20k_panoptic_{}",
    )
]


@pytest.fixture
def root(tmp_path):
    register_benchmarks(tmp_path)
    yield tmp_path
    register_benchmarks()


def test_classes_are_known_without_a_file():
    classes = {"coco": (133, 80), "city": (19, 8), "ade2": (150, 100)}
    for name in NAMES:
        metadata = MetadataCatalog.get(name)
        things = metadata.thing_dataset_id_to_contiguous_id
        assert (len(metadata.stuff_classes), len(things)) == classes[name[:4]]


def test_registration_opens_nothing_and_expands_the_home_folder(monkeypatch):
    def refuse(path, *args, **kwargs):
        if "somewhere" in str(path):
            raise AssertionError(f"opened {path}")
        return opened(path, *args, **kwargs)

    opened = builtins.open
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setenv("HOME", "/home/reader")
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/somewhere")
    register_benchmarks()
    metadata = MetadataCatalog.get("coco_2017_val_panoptic_with_sem_seg")
    assert metadata.panoptic_json == "/home/reader/somewhere/coco/annotations/panoptic_val2017.json"
    assert metadata.sem_seg_root == "/home/reader/somewhere/coco/panoptic_semseg_val2017"
    monkeypatch.undo()
    register_benchmarks()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_folder_is_named_with_the_way_to_make_it(root, name):
    with pytest.raises(FileNotFoundError, match=rf"{root}.*datasets/README\.md"):
        DatasetCatalog.get(name)


def test_a_file_with_other_categories_is_refused(root):
    ade = root / "ADEChallengeData2016"
    for folder in ("images/validation", "ade20k_panoptic_val"):
        (ade / folder).mkdir(parents=True)
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": []}],
        "categories": [{"id": 1, "name": "wall", "isthing": 0}],
    }
    (ade / "ade20k_panoptic_val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"ade20k_panoptic_val\.json: lists other categories"):
        DatasetCatalog.get("ade20k_panoptic_val")
