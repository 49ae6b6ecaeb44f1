import json
from pathlib import Path

import pytest
from PIL import Image

from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from tests.own_data import OwnData
from tests.scripts import ROOT, exit_status, load_script

CONFIG = ROOT / "configs" / "custom" / "kmax_trial_on_cpu.yaml"


@pytest.fixture(scope="module")
def script():
    return load_script("datasets/check.py")


@pytest.fixture
def data(tmp_path):
    return OwnData(tmp_path / "data")


@pytest.fixture
def check(script, data):
    """A function that checks the dataset by its places and returns the exit status."""
    places = ("--json", data.json, "--images", data.images, "--pngs", data.pngs)
    common = ("--workers", 1, "--output", data.root / "pictures")
    return lambda *flags: exit_status(script.main, *places, *common, *flags)


def test_a_clean_dataset_passes_with_statistics_and_a_picture(check, data, capsys):
    assert check() == 0
    printed = capsys.readouterr().out
    assert "No fault found" in printed
    assert "12, 4 crowds" in printed
    assert next(line for line in printed.splitlines() if "never used" in line).endswith("vessel")
    assert "least 2, half need at most 2, 95% at most 2, most 2" in printed
    assert "NUM_OBJECT_QUERIES 32 is enough" in printed
    (sheet,) = (data.root / "pictures").glob("data_panoptic_*.png")
    with Image.open(sheet) as picture:
        assert picture.size[0] > 1000


def test_datasets_whose_folders_have_one_name_get_pictures_of_their_own(script, tmp_path):
    for place in ("a", "b"):
        data = OwnData(tmp_path / place / "data")
        places = ("--json", data.json, "--images", data.images, "--pngs", data.pngs)
        common = ("--workers", 1, "--samples", 1, "--output", tmp_path / "pictures")
        assert exit_status(script.main, *places, *common) == 0
    assert len(list((tmp_path / "pictures").glob("data_panoptic_*.png"))) == 2


def test_classes_become_things_in_the_fixed_copy(check, data, capsys):
    data.content["categories"][1]["isthing"] = 0
    data.segments(0)[2]["iscrowd"] = 0
    data.write_json()
    assert check() == 1
    assert "--things 'cell'" in capsys.readouterr().out
    assert check("--fix", data.root / "fixed.json", "--things", "cell") == 1
    fixed = json.loads((data.root / "fixed.json").read_text())
    assert [category["isthing"] for category in fixed["categories"]] == [0, 1, 0]
    assert check("--things", "cell") == 2


def test_a_fault_is_named_and_the_status_is_1(check, data, capsys):
    data.png_path(0).unlink()
    assert check() == 1
    assert f"{data.png_path(0)}: does not exist" in capsys.readouterr().out


def test_a_kind_of_fault_can_be_allowed(check, data):
    (Path(data.pngs) / "other.png").touch()
    assert check() == 1
    assert check("--allow", "stray-png") == 0


def test_training_and_validation_are_compared_and_shown_on_one_page(script, tmp_path, capsys):
    train, val = (OwnData(tmp_path / name) for name in ("train", "val"))
    places = [
        ("--json", train.json, val.json),
        ("--images", train.images, val.images),
        ("--pngs", train.pngs, val.pngs),
    ]
    common = ("--workers", 1, "--samples", 1, "--output", tmp_path / "check")
    flags = [word for place in places for word in place]
    assert exit_status(script.main, *flags, *common) == 1
    printed = capsys.readouterr().out
    assert f"{val.image_path(0)}: is " in printed and "of train_panoptic" in printed
    (page,) = (tmp_path / "check").glob("train_panoptic_*.html")
    assert f"Open {page} in a browser." in printed
    assert exit_status(script.main, *flags, *common, "--allow", "leaked-image") == 0
    assert exit_status(script.main, *flags[:2], *flags[3:5], *flags[6:8], *common) == 0
    assert exit_status(script.main, *flags[:-1], *common) == 2


def test_a_note_leaves_a_dataset_sound_unless_it_is_denied(check, data, capsys):
    ids = read_ids(data.png_path(0)).copy()
    ids[0, 0] = 9
    write_ids(data.png_path(0), ids)
    data.segments(0).append({"id": 9, "category_id": 300, "iscrowd": 0})
    data.write_json()
    assert check() == 0
    printed = capsys.readouterr().out
    assert f"{data.png_path(0)}: segment 9 (1 pixel)" in printed and "No fault found" in printed
    assert check("--deny", "tiny-segment") == 1
    assert "No fault found" not in capsys.readouterr().out


def test_fix_writes_a_sound_copy_and_leaves_the_original(script, check, data, capsys):
    data.segments(0)[1].update(area=5, bbox=[0, 0, 1, 1])
    del data.segments(1)[1]["iscrowd"]
    data.write_json()
    before = Path(data.json).read_text()
    fixed = data.root / "fixed.json"
    assert check("--fix", fixed) == 1
    assert Path(data.json).read_text() == before
    assert json.loads(fixed.read_text())["annotations"][0]["segments_info"][1]["area"] == 600
    data.json = str(fixed)
    places = ("--json", fixed, "--images", data.images, "--pngs", data.pngs, "--samples", 0)
    assert exit_status(script.main, *places, "--workers", 1) == 0
    assert "name a new one" in str(check("--fix", fixed))


def test_registered_names_and_those_of_a_config_are_checked(script, data, capsys):
    name = f"check_{data.root.parent.name}"
    register_panoptic(**data.entry(name))
    flags = ("--workers", 1, "--samples", 0)
    assert exit_status(script.main, name, *flags) == 0
    entries = str([data.entry(f"{name}_train"), data.entry(f"{name}_val")])
    listed = ("DATASETS.PANOPTIC", entries)
    assert exit_status(script.main, *flags, "--config-file", CONFIG, *listed) == 0
    printed = capsys.readouterr().out
    assert f"{name}_train" in printed
    assert f"{name}_val" in printed


def test_a_folder_that_convert_wrote_is_checked_by_its_own_word(script, data, capsys):
    entry = {"name": "as_written", "json": Path(data.json).name}
    entry["pngs"] = Path(data.pngs).relative_to(data.root).as_posix()
    entry["images"] = Path(data.images).relative_to(data.root).as_posix()
    (data.root / "dataset.yaml").write_text(json.dumps({"DATASETS": {"PANOPTIC": [entry]}}))
    common = ("--workers", 1, "--samples", 0, "--output", data.root / "pictures")
    assert exit_status(script.main, data.root, *common) == 0
    assert "as_written" in capsys.readouterr().out


def test_what_cannot_be_checked_is_said(script, data):
    assert "no dataset is named 'none'" in exit_status(script.main, "none")
    assert "name no dataset" in exit_status(script.main, "--config-file", CONFIG)
    assert exit_status(script.main, "--json", data.json) == 2
    assert exit_status(script.main) == 2
