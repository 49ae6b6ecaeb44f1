import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "datasets"


@pytest.fixture
def shapes(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("generate_shapes")


def small(shapes, **changes):
    return shapes.Settings(**{"train": 12, "val": 4, "seed": 3, "size": 97, **changes})


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read_split(folder):
    """Yields (image, ids, segments) of every image of a split."""
    panoptic = json.loads((folder / "panoptic.json").read_text())
    for image, annotation in zip(panoptic["images"], panoptic["annotations"], strict=True):
        assert image["id"] == annotation["image_id"]
        png = np.array(Image.open(folder / "panoptic" / annotation["file_name"]), dtype=np.int32)
        pixels = np.array(Image.open(folder / "images" / image["file_name"]))
        yield pixels, png @ (1, 256, 65536), annotation["segments_info"]


def test_two_runs_agree_byte_by_byte_and_another_seed_does_not(shapes, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert shapes.generate(tmp_path / name, small(shapes, seed=seed))
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys() and a != c


def test_an_image_does_not_depend_on_how_many_there_are(shapes, tmp_path):
    shapes.generate(tmp_path / "few", small(shapes))
    shapes.generate(tmp_path / "more", small(shapes, train=14))
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    images = [path for path in few if path.suffix in (".jpg", ".png")]
    assert len(images) == 32 and all(few[path] == more[path] for path in images)


def test_png_and_json_agree_and_things_are_visible(shapes, tmp_path):
    shapes.generate(tmp_path / "data", small(shapes))
    for pixels, ids, segments in read_split(tmp_path / "data" / "train"):
        assert pixels.shape == (97, 97, 3) and ids.shape == (97, 97)
        assert {s["id"] for s in segments} == set(np.unique(ids)) - {0}
        for segment in segments:
            rows, columns = np.nonzero(ids == segment["id"])
            assert segment["area"] == len(rows) >= 0.004 * ids.size
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert segment["bbox"] == box


def test_the_dataset_deserves_its_name(shapes):
    drawn = [shapes.draw(np.random.default_rng(seed), 97) for seed in range(150)]
    is_thing = {category["id"]: category["isthing"] for category in shapes.CATEGORIES}
    assert sorted(is_thing.values()) == [0] * 4 + [1] * 4
    segments = [segment for _, _, listed in drawn for segment in listed]
    assert {segment["category_id"] for segment in segments} == set(is_thing)
    assert 5 < sum(segment["iscrowd"] for segment in segments) < 50
    assert 10 < sum((ids == 0).mean() > 0.01 for _, ids, _ in drawn) < 90  # void
    things = [
        sorted(s["category_id"] for s in listed if is_thing[s["category_id"]] and not s["iscrowd"])
        for _, _, listed in drawn
    ]
    assert min(map(len, things)) >= 1 and max(map(len, things)) == 5
    assert sum(len(set(classes)) < len(classes) for classes in things) > 50  # several of a class


def test_same_settings_reuse_the_folder_and_others_never_mix(shapes, tmp_path):
    output = tmp_path / "data"
    assert shapes.generate(output, small(shapes))
    written = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert not shapes.generate(output, small(shapes))
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == written
    with pytest.raises(ValueError, match="choose another --output"):
        shapes.generate(output, small(shapes, seed=4))


def test_an_interrupted_run_leaves_nothing_that_looks_complete(shapes, tmp_path, monkeypatch):
    output = tmp_path / "data"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shapes, "draw", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        shapes.generate(output, small(shapes))
    assert not output.exists()
    assert shapes.generate(output, small(shapes))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("change", [{"train": 0}, {"val": 0}, {"size": 32}])
def test_settings_out_of_range_are_refused(shapes, tmp_path, change):
    with pytest.raises(ValueError, match="at least 1 image"):
        shapes.generate(tmp_path / "data", small(shapes, **change))
