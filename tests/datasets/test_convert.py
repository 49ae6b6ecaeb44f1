import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.d2.config.files import read_config_file
from kmax_deeplab.data.check.dataset_check import Source, check_dataset, check_strays
from kmax_deeplab.data.format.pngs import read_ids
from tests.scripts import exit_status, load_script

TABLE = "id\tname\tisthing\n0\troad\t0\n26\tcar\t1\n"


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


@pytest.fixture
def folder(tmp_path):
    """Two images of 8 x 12 pixels with label PNGs, a table of classes and a detection JSON."""
    semantic = np.zeros((8, 12), np.uint8)
    semantic[2:6, 2:10] = 26
    semantic[7] = 255
    instances = np.where(semantic == 26, np.arange(12) // 6 + 1, 0)
    arrays = {"images": np.zeros((8, 12, 3)), "semantic": semantic, "instances": instances}
    for name in ("b/1", "a"):
        for kind, array in arrays.items():
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path)
    (tmp_path / "classes.tsv").write_text(TABLE)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 12}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 3, "segmentation": [[2, 2, 8, 2, 8, 6, 2, 6]]}
        ],
        "categories": [{"id": 3, "name": "bus"}, {"id": 26, "name": "car"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def from_pngs(folder, output="out"):
    kinds = [
        word
        for kind in ("images", "semantic", "instances")
        for word in (f"--{kind}", folder / kind)
    ]
    return ("pngs", *kinds, "--classes", folder / "classes.tsv", "--output", folder / output)


def faults(folder, name):
    places = (folder / "images", folder / name / "panoptic.json", folder / name / "panoptic")
    report = check_dataset(Source(name, *map(str, places)))
    return report, report.findings + check_strays([report])


def test_label_pngs_become_a_dataset_that_passes_the_check(main, folder):
    assert exit_status(main, *from_pngs(folder)) == 0
    report, found = faults(folder, "out")
    assert found == []
    assert [image["id"] for image in report.content["images"]] == ["a", "b/1"]
    assert len(report.content["annotations"][0]["segments_info"]) == 3


def test_the_same_input_gives_the_same_bytes(main, folder):
    for name in ("one", "two"):
        assert exit_status(main, *from_pngs(folder, name)) == 0
    for part in ("panoptic.json", "panoptic/a.png", "panoptic/b/1.png"):
        assert (folder / "one" / part).read_bytes() == (folder / "two" / part).read_bytes()


def test_a_detection_json_becomes_a_dataset_with_stuff_below(main, folder):
    detection = ("detection", "--json", folder / "instances.json", "--output", folder / "out")
    stuff = ("--semantic", folder / "semantic", "--classes", folder / "classes.tsv")
    assert exit_status(main, *detection, *stuff) == 0
    report, found = faults(folder, "out")
    assert {finding.kind for finding in found} == {"stray-image"}  # b/1.png is not in the JSON
    assert [category["name"] for category in report.content["categories"]] == ["bus", "car", "road"]
    ids = read_ids(folder / "out" / "panoptic" / "a.png")
    assert (ids[0, 0], ids[3, 3], ids[3, 9], ids[7, 0]) == (1, 2, 0, 0)


def test_refusals_end_with_a_sentence_that_names_the_file(main, folder):
    both = (*from_pngs(folder), "--ignore", 26, 255)
    assert "[26] are classes and ignored at once" in exit_status(main, *both)
    (folder / "semantic" / "a.png").unlink()
    assert f"{folder / 'images' / 'a.png'} has no label image" in exit_status(
        main, *from_pngs(folder)
    )
    assert not (folder / "out").exists()
    half = ("detection", "--json", "x", "--output", "y", "--semantic", "z")
    assert "--semantic and --classes belong together" in exit_status(main, *half)


def test_masks_of_0_and_255_are_refused_unless_255_is_said_to_be_unlabelled(main, folder):
    for name in ("a", "b/1"):
        mask = np.zeros((8, 12), np.uint8)
        mask[2:6] = 255
        Image.fromarray(mask).save(folder / "semantic" / f"{name}.png")
    message = exit_status(main, *from_pngs(folder))
    assert "hold the values [0, 255] alone" in message and "--ignore 255" in message
    assert not (folder / "out").exists()
    assert exit_status(main, *from_pngs(folder), "--ignore", 255) == 0


def test_what_a_new_dataset_holds_and_lacks_is_said(main, folder, capsys):
    (folder / "classes.tsv").write_text(TABLE + "7\tvessel\t0\n", encoding="utf-8-sig")
    for name in ("a", "b/1"):
        Image.fromarray(np.zeros((8, 12), np.uint8)).save(folder / "instances" / f"{name}.png")
    assert exit_status(main, *from_pngs(folder)) == 0
    printed = capsys.readouterr().out
    assert "4 segments, 2 of them crowds, which count for nothing" in printed
    assert "Classes without a segment: vessel" in printed
    assert "most 1; MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES 32 is enough" in printed


def test_more_segments_than_queries_are_counted(main, folder, capsys):
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    Image.fromarray(np.full((20, 20), 26, np.uint8)).save(folder / "semantic" / "a.png")
    instances = np.arange(1, 401, dtype=np.uint16).reshape(20, 20)
    Image.fromarray(instances).save(folder / "instances" / "a.png")
    assert exit_status(main, *from_pngs(folder)) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 images have more segments than the model has queries, 128 (up to 400" in printed


def test_labels_fit_photos_as_they_are_seen(main, folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    photo = folder / "images" / "a.png"
    Image.new("RGB", (8, 12)).save(photo, exif=exif)  # upright it is 12 wide, as its labels are
    assert exit_status(main, *from_pngs(folder)) == 0
    assert faults(folder, "out")[0].pairs[0].image["width"] == 12
    Image.new("RGB", (12, 8)).save(photo, exif=exif)
    assert "upright" in exit_status(main, *from_pngs(folder, "sideways"))


@pytest.mark.parametrize("name", ["../images/a.png", "/images/a.png"])
def test_a_name_that_leads_to_other_files_is_refused_and_they_stay(main, folder, name):
    content = json.loads((folder / "instances.json").read_text())
    photo = folder / "images" / "a.png"
    content["images"][0]["file_name"] = name if name[0] == "." else str(photo)
    (folder / "instances.json").write_text(json.dumps(content))
    before = photo.read_bytes()
    refusal = exit_status(
        main, "detection", "--json", folder / "instances.json", "--output", folder / "out"
    )
    assert "leads out of the folder" in refusal
    assert photo.read_bytes() == before and not (folder / "out").exists()


def test_a_split_has_a_config_that_training_reads(main, folder, capsys):
    Image.new("RGB", (12, 8), "red").save(folder / "images" / "a.png")
    split = ("--split", "0.5,0.5", "--merge", "ground=road,car", "--things", "ground")
    assert exit_status(main, *from_pngs(folder), *split, "--workers", 1) == 0
    printed = capsys.readouterr().out
    assert (
        f"{folder / 'out/val/panoptic.json'}, {folder / 'out/val/panoptic'}/: 1 images" in printed
    )
    assert [line.split() for line in printed.splitlines() if " thing " in line] == [
        ["ground", "thing", "3", "3"]
    ]
    (folder / "run.yaml").write_text("_BASE_: out/dataset.yaml")
    datasets = read_config_file(folder / "run.yaml")["DATASETS"]
    assert (datasets["TRAIN"], datasets["TEST"]) == (["out_train"], ["out_val"])
    for entry in datasets["PANOPTIC"]:
        report = check_dataset(Source(*(entry[k] for k in ("name", "images", "json", "pngs"))))
        assert report.findings == [] and len(report.pairs) == 1


def test_overlaps_and_dropped_labels_are_counted_aloud(main, folder, capsys):
    content = json.loads((folder / "instances.json").read_text())
    square = [[4, 4, 10, 4, 10, 8, 4, 8]]  # shares 4 x 2 pixels with the one that is there
    second = {**content["annotations"][0], "id": 6, "segmentation": square}
    content["annotations"].append(second)
    (folder / "instances.json").write_text(json.dumps(content))
    words = ("detection", "--json", folder / "instances.json", "--output", folder / "out")
    assert exit_status(main, *words) == 0
    assert "Things overlap in 1 images, on 8 pixels: there the smaller" in capsys.readouterr().out
