"""Images of every kind go into a folder of results, whole, or are named and leave nothing."""

import csv
import json

import numpy as np
import pytest
import torch
from panopticapi.evaluation import pq_compute
from PIL import ExifTags, Image
from pycocotools.coco import COCO
from pycocotools.mask import area, decode

from kmax_deeplab.data.format import images
from kmax_deeplab.data.format.pngs import read_ids, read_predictions
from kmax_deeplab.predict import predictor
from kmax_deeplab.predict.outputs import KINDS
from kmax_deeplab.predict.results import Results
from tests.packed import pack, spoil
from tests.scripts import exit_status
from tests.tiny_model import tiny_command

SIZE = (40, 56)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small images are predicted no faster by two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def predict(tmp_path):
    """A function that runs the command line into tmp_path/out and returns its exit status."""
    main = tiny_command(tmp_path / "tiny.pth")
    return lambda *more: exit_status(main, "--output", tmp_path / "out", *more)


def noise(seed=0, size=SIZE):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1]))


@pytest.fixture
def photos(tmp_path):
    """A folder with three photos, one of them in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        Image.fromarray(noise(number)).save(folder / name)
    return folder


def save_kinds(folder):
    """Saves the same picture in every way that can be looked at, and one pixel alone."""
    picture = Image.fromarray(noise()).quantize(64).convert("RGB")
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    folder.mkdir()
    picture.save(folder / "plain.png")
    turned.save(folder / "turned.png", exif=exif)
    picture.quantize(256).save(folder / "palette.png")
    picture.putalpha(0)
    picture.save(folder / "alpha.png")
    grey = Image.fromarray(noise()[..., 0])
    grey.save(folder / "grey.png")
    grey.convert("RGB").save(folder / "grey_rgb.png")
    Image.fromarray(noise()).convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(noise()[:1, :1]).save(folder / "pixel.png")


def test_every_kind_of_picture_is_seen_as_it_is_meant(predict, tmp_path):
    save_kinds(tmp_path / "kinds")
    assert predict("--input", tmp_path / "kinds") == 0
    found = {e["image_id"]: ids for e, ids in read_predictions(tmp_path / "out/predictions.json")}
    assert found["plain"].max() > 1
    for kind in ("turned", "palette", "alpha"):
        assert np.array_equal(found[kind], found["plain"])
    assert np.array_equal(found["grey"], found["grey_rgb"])
    assert found["cmyk"].shape == SIZE
    assert found["pixel"].shape == (1, 1)


def test_what_cannot_be_looked_at_is_named_with_the_reason_and_leaves_nothing(
    predict, photos, tmp_path, capsys, monkeypatch
):
    for place in (images, predictor):
        monkeypatch.setattr(place, "MAX_PIXELS", 3000)
    Image.fromarray(noise()[..., 0].astype(np.uint16) * 256).save(photos / "deep.png")
    Image.fromarray(noise(size=(60, 60))).save(photos / "huge.png")
    (photos / "text.png").write_text("no image")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:500])
    assert predict("--input", photos, "--save", *KINDS) == 1
    err = capsys.readouterr().err
    for name, reason in {
        "deep": "16", "huge": "make it smaller, or look at it in tiles", "text": "", "cut": "",
    }.items():  # fmt: skip
        assert f"{photos / name}.png cannot be read" in err
        assert reason in err
        assert not list((tmp_path / "out").rglob(f"*{name}*"))
    assert "4 of 7 images could not be read" in err
    left = [p for p in (tmp_path / "out").rglob(".*") if p.name != ".predictions.lock"]
    assert not left
    names = [e["image_id"] for e, _ in read_predictions(tmp_path / "out/predictions.json")]
    assert names == ["a", "b", "sub/c"]


def test_an_image_that_is_removed_meanwhile_does_not_end_the_others(
    predict, photos, tmp_path, capsys, monkeypatch
):
    begin = Results.begin

    def begin_and_lose_one(self, mine):
        ahead = begin(self, mine)
        (photos / "b.png").unlink()
        return ahead

    monkeypatch.setattr(Results, "begin", begin_and_lose_one)
    assert predict("--input", photos) == 1
    assert "b.png cannot be read (No such file" in capsys.readouterr().err
    names = [e["image_id"] for e, _ in read_predictions(tmp_path / "out/predictions.json")]
    assert names == ["a", "sub/c"]


def test_nothing_to_look_at_is_said_and_leaves_nothing(predict, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no image" in predict("--input", tmp_path / "empty")
    assert "fits no image" in predict("--input", tmp_path / "empty" / "*.png")
    assert "does not exist" in predict("--input", tmp_path / "none.png")
    assert not (tmp_path / "out").exists()


def test_files_folders_and_patterns_are_found(predict, photos, tmp_path):
    (photos / "labels.json").write_text("{}")
    assert predict("--input", f"{photos}/**/*", photos / "a.png", "--save") == 0
    names = [e["image_id"] for e, _ in read_predictions(tmp_path / "out/predictions.json")]
    assert names == ["a", "b", "sub/c"]
    assert not (tmp_path / "out" / "overlays").exists()


@pytest.mark.parametrize("tile", [0, 32])
def test_all_outputs_agree_with_each_other(tile, predict, photos, tmp_path):
    out = tmp_path / "out"
    assert predict("--input", photos, "--save", *KINDS, "--tile", tile) == 0
    content = json.loads((out / "predictions.json").read_text())
    assert content["images"][2] == {
        **{"id": "sub/c", "file_name": "sub/c.png", "height": SIZE[0], "width": SIZE[1]}
    }
    with open(out / "segments.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(a["segments_info"]) for a in content["annotations"])
    for row in rows:
        ids = read_ids(out / "predictions" / f"{row['image']}.png")
        name = f"{int(row['segment']):04d}_{row['class']}.png"
        mask = np.asarray(Image.open(out / "masks" / f"{row['image']}.masks" / name))
        assert np.array_equal(mask, ids == int(row["segment"]))
        assert mask.sum() == int(row["area"])
        assert 0 < float(row["score"]) <= 1
    semantic = np.asarray(Image.open(out / "semantic" / "sub" / "c.png"))
    assert semantic.shape == SIZE
    assert set(np.unique(semantic)) <= {10, 11, 12, 13}
    for found in json.loads((out / "coco_instances_results.json").read_text()):
        assert found["category_id"] in (11, 12)
        mask = decode(found["segmentation"])
        rows, columns = np.nonzero(mask)
        left, top, width, height = found["bbox"]
        assert (columns.min(), rows.min()) == (left, top)
        assert (columns.max() + 1, rows.max() + 1) == (left + width, top + height)
        assert area(found["segmentation"]) > 0
    for folder in ("overlays", "semantic_overlays", "instance_overlays"):
        assert Image.open(out / folder / "sub" / "c.png").size == SIZE[::-1]


def dataset(path, photos):
    """Writes a panoptic dataset of the photos: what is predicted of them is its truth."""
    out = photos.parent / "out"
    content = json.loads((out / "predictions.json").read_text())
    number = {image["id"]: 100 + i for i, image in enumerate(content["images"])}
    for image in content["images"]:
        image["id"] = number[image["id"]]
    for annotation in content["annotations"]:
        annotation["image_id"] = number[annotation["image_id"]]
    path.write_text(json.dumps(content))


def test_the_official_evaluations_take_the_results_by_the_datasets_own_ids(
    predict, photos, tmp_path
):
    out, truth = tmp_path / "out", tmp_path / "panoptic.json"
    assert predict("--input", photos, "--save", "instances") == 0
    dataset(truth, photos)
    assert predict("--input", photos, "--save", "instances", "--dataset-json", truth) == 0
    pngs = str(out / "predictions")
    scores = pq_compute(str(truth), str(out / "predictions.json"), pngs, pngs)
    assert scores["All"]["pq"] == 1
    coco = COCO()
    coco.dataset = json.loads(truth.read_text())
    coco.dataset["annotations"] = []
    coco.createIndex()
    assert coco.loadRes(str(out / "coco_instances_results.json")).getImgIds() == [100, 101, 102]


def test_an_image_that_the_dataset_does_not_list_is_named(predict, photos, tmp_path):
    listed = tmp_path / "panoptic.json"
    listed.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.png"}]}))
    words = ("--input", photos, "--dataset-json", listed)
    assert f"does not list {photos / 'b.png'}" in predict(*words)
    listed.write_text(json.dumps({"images": [{"id": 1, "file_name": f"{n}.png"} for n in "abc"]}))
    assert "a.png and " in predict(*words)
    assert not (tmp_path / "out").exists()


def test_what_is_asked_for_later_is_made_later_and_the_rest_skipped(predict, photos, capsys):
    assert predict("--input", photos) == 0
    assert predict("--input", photos) == 0
    assert "3 of 3 images are predicted already" in capsys.readouterr().out
    assert predict("--input", photos, "--save", "overlay", "semantic", "--profile") == 0
    out = capsys.readouterr().out
    assert "already" not in out
    assert "network" in out
    assert "3 images in" in out


def test_another_threshold_is_another_model(predict, photos, tmp_path):
    assert predict("--input", photos) == 0
    said = predict("--input", photos, "--confidence-threshold", 0.9)
    assert "predictions of other settings" in said
    words = ("--output", tmp_path / "sure", "--confidence-threshold", 1)
    assert predict("--input", photos, *words) == 0
    content = json.loads((tmp_path / "sure" / "predictions.json").read_text())
    assert [a["segments_info"] for a in content["annotations"]] == [[]] * 3
    assert "from 0 to 1" in predict("--input", photos, "--confidence-threshold", 2)


def test_a_panoptic_png_of_an_image_in_tiles_can_be_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    Image.fromarray(noise()).save(tmp_path / "large.png")
    assert read_ids(tmp_path / "large.png").shape == SIZE


def test_a_zip_of_images_is_predicted_like_their_folder(predict, photos, tmp_path, capfd):
    assert predict("--input", photos) == 0
    unpacked, entries = read_predictions(tmp_path / "out/predictions.json"), {}
    for annotation, ids in unpacked:
        entries[annotation["file_name"]] = ids
    packed = pack(photos)
    (tmp_path / "out").rename(tmp_path / "unpacked")
    assert predict("--input", packed) == 0
    for annotation, ids in read_predictions(tmp_path / "out/predictions.json"):
        assert np.array_equal(ids, entries.pop(annotation["file_name"]))
    assert not entries
    capfd.readouterr()
    spoil(packed.parent, (photos / "b.png").read_bytes())
    assert predict("--input", packed) == 1
    assert f"{packed.parent} is damaged at its member photos/b.png" in capfd.readouterr().err
