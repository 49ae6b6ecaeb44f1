from pathlib import Path

import pytest

from kmax_deeplab.d2.suggest.parts import (
    parts_of_config,
    parts_of_folder,
    parts_of_names,
    parts_of_places,
)
from tests.own_data import OwnData


@pytest.fixture
def folder(tmp_path):
    """What datasets/convert.py writes of two parts, and the images elsewhere."""
    place = tmp_path / f"{tmp_path.name}_set"
    for split in ("train", "val"):
        data = OwnData(tmp_path / "all" / split)
        (place / split).mkdir(parents=True)
        Path(data.json).rename(place / split / "panoptic.json")
        Path(data.pngs).rename(place / split / "panoptic")
        (tmp_path / "images").mkdir(exist_ok=True)
        Path(data.images).rename(tmp_path / "images" / split)
    return place


def test_the_parts_of_a_folder_are_named_after_it(folder):
    parts = parts_of_folder(folder, folder.parent / "images")
    assert parts.train == (f"{folder.name}_train",) and parts.test == (f"{folder.name}_val",)
    train = parts.entries[0]
    assert train["images"] == str(folder.parent / "images" / "train")
    assert train["json"] == str(folder / "train" / "panoptic.json")
    assert parts.note == "by their names"


def test_images_beside_the_labels_need_no_word(folder):
    (folder.parent / "images").rename(folder / "images")
    assert parts_of_folder(folder).entries[1]["images"] == str(folder / "images" / "val")


def test_parts_that_were_converted_one_by_one_say_where_their_images_are(folder):
    for split in ("train", "val"):
        entry = {"name": split, "images": f"../../images/{split}", "json": "j", "pngs": "p"}
        (folder / split / "dataset.yaml").write_text(f"DATASETS: {{PANOPTIC: [{entry}]}}\n")
    parts = parts_of_folder(folder)
    assert parts.train == (f"{folder.name}_train",) and parts.test == (f"{folder.name}_val",)
    places = [Path(entry["images"]).resolve() for entry in parts.entries]
    assert places == [folder.parent / "images" / split for split in ("train", "val")]


def test_a_fragment_of_a_config_says_it_all(folder):
    entry = {"images": "../images/train", "json": "train/panoptic.json", "pngs": "train/panoptic"}
    text = (
        f"DATASETS:\n  PANOPTIC: [{ {'name': folder.name, **entry} }]\n  TRAIN: [{folder.name}]\n"
    )
    (folder / "dataset.yaml").write_text(text)
    parts = parts_of_folder(folder)
    assert parts.train == parts.test == (folder.name,)
    assert Path(parts.entries[0]["images"]).resolve() == folder.parent / "images" / "train"
    assert parts_of_config(folder / "dataset.yaml") == parts


def test_a_single_part_is_trained_and_tested_on_and_that_is_said(folder):
    part = folder / "train"
    parts = parts_of_folder(part, folder.parent / "images")
    assert parts.train == parts.test == ("train",)
    assert "scores are those of images it was trained on" in parts.note
    places = {"images": str(folder.parent), "json": str(part / "panoptic.json"), "pngs": str(part)}
    assert parts_of_places(**places).train == ("train_panoptic",)


def test_registered_names_are_told_apart_by_their_ending():
    parts = parts_of_names(["shapes_train", "shapes_val"])
    assert (parts.train, parts.test, parts.entries) == (("shapes_train",), ("shapes_val",), [])
    with pytest.raises(ValueError, match=r"none of \['a', 'b'\] ends in 'train'"):
        parts_of_names(["a", "b"])


def test_what_is_no_dataset_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder"):
        parts_of_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds neither dataset\.yaml nor"):
        parts_of_folder(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"train/images: no such folder; say where --images"
    ):
        parts_of_folder(folder)
