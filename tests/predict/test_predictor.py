"""A predictor takes whatever holds an image, and says the same of it."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.structures import MergeThresholds
from tests.tiny_model import NAMES, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def predict(model):
    return Predictor(model)


@pytest.fixture
def pixels():
    noise = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((80, 56)))


@pytest.fixture
def path(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_paths_pictures_arrays_and_tensors_are_one_image(predict, pixels, path):
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    given = [path, str(path), Image.fromarray(pixels), pixels, tensor]
    alone = [predict(image) for image in given]
    assert alone[0].panoptic.max() > 1
    for seen in [*alone, *predict(given)]:
        assert np.array_equal(seen.panoptic, alone[0].panoptic)
        assert seen.segments == alone[0].segments
    assert [seen.name for seen in predict(given)] == [str(path), str(path), "2", "3", "4"]


def test_grey_and_transparent_arrays_become_rgb(predict, pixels):
    grey = pixels[..., 0]
    as_rgb = predict(np.stack([grey] * 3, 2)).panoptic
    assert np.array_equal(predict(grey).panoptic, as_rgb)
    assert np.array_equal(predict(grey[..., None]).panoptic, as_rgb)
    rgba = np.dstack([pixels, np.zeros_like(grey)])
    assert np.array_equal(predict(rgba).panoptic, predict(pixels).panoptic)


def test_a_folder_is_all_its_images(predict, path, pixels):
    Image.fromarray(pixels[::-1]).save(path.with_name("another.png"))
    assert [seen.name for seen in predict(path.parent)] == [
        str(path.with_name("another.png")),
        str(path),
    ]


def test_segments_say_where_they_are(predict, pixels):
    seen = predict(pixels)
    assert seen.panoptic.dtype == np.int32
    for segment in seen.segments:
        rows, columns = np.nonzero(seen.panoptic == segment.id)
        left, top, right, bottom = segment.box
        assert segment.area == len(rows)
        assert (left, top) == (columns.min(), rows.min())
        assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
        assert segment.name == NAMES[segment.category_id]
        assert segment.isthing == (segment.category_id in (1, 2))
        assert 0 < segment.score <= 1
        assert 0 <= segment.query < 8
    assert seen.queries_used == len(seen.segments)
    assert seen.num_queries == 8


def test_other_views_are_computed_when_they_are_asked_for(predict, pixels):
    seen = predict(pixels)
    assert seen.semantic.shape == (56, 80)
    assert set(np.unique(seen.semantic)) <= {0, 1, 2, 3}
    assert seen.instances.masks.shape[1:] == (56, 80)
    assert [clusters.shape for clusters in seen.clusters] == [(56, 80)] * 3
    assert seen.draw().shape == (56, 80, 3)


def test_results_travel_to_other_processes(predict, pixels):
    seen = predict(pixels)
    there = pickle.loads(pickle.dumps(seen))
    assert there.segments == seen.segments
    with pytest.raises(ValueError, match="only the process that predicted"):
        _ = there.semantic


def test_predictors_travel_to_other_processes(predict, pixels):
    there = pickle.loads(pickle.dumps(predict))
    assert np.array_equal(there(pixels).panoptic, predict(pixels).panoptic)


def test_what_is_saved_is_coco_s_panoptic_format(predict, path, tmp_path):
    seen = predict(path)
    content = json.loads(seen.save(tmp_path / "out").read_text())
    (annotation,) = content["annotations"]
    ids = read_ids(tmp_path / "out" / annotation["file_name"])
    assert np.array_equal(ids, seen.panoptic)
    for listed in annotation["segments_info"]:
        assert listed["area"] == (ids == listed["id"]).sum()
        assert listed["category_id"] in {c["id"] for c in content["categories"]}
    assert Image.open(tmp_path / "out" / "photo.overlay.png").size == (80, 56)


def test_columns_go_in_and_out(predict, pixels, path):
    images = np.stack([pixels, pixels[::-1]])
    found = predict({"image": images, "label": np.array([3, 4])})
    assert found["label"].tolist() == [3, 4]
    assert np.array_equal(found["panoptic"][1], predict(pixels[::-1]).panoptic)
    segments = json.loads(found["segments"][0])
    assert [s["id"] for s in segments] == [s.id for s in predict(pixels).segments]
    by_path = predict({"path": np.array([str(path)])})
    assert np.array_equal(by_path["panoptic"][0], found["panoptic"][0])
    with pytest.raises(ValueError, match=r"columns \['x'\] lack both 'image' and 'path'"):
        predict({"x": images})


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((5, 5, 3)), ValueError, "image 0 holds float64: bring it to bytes"),
        (np.zeros((5, 5), np.uint16), ValueError, "image 0 holds uint16"),
        (np.zeros((5, 5, 2), np.uint8), ValueError, r"image 0 has the shape \(5, 5, 2\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"image 0 has the shape \(0, 5, 3\)"),
        (Image.new("I;16", (4, 4)), ValueError, "image 0 has mode I;16: bring it to 8 bits"),
        ("gone.png", FileNotFoundError, r"^gone\.png does not exist$"),
    ],
)
def test_what_is_no_image_is_refused(image, error, message, predict):
    with pytest.raises(error, match=message):
        predict(image)


def test_an_unreadable_file_ends_a_list_unless_it_is_to_be_skipped(predict, path):
    broken = path.with_name("broken.png")
    broken.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        predict([path, broken, path])
    skipped = []
    found = list(predict.each([path, broken, path], skip=lambda name, _: skipped.append(name)))
    assert len(found) == 2
    assert skipped == [str(broken)]


def test_one_pixel_is_an_image(predict):
    assert predict(np.zeros((1, 1, 3), np.uint8)).panoptic.shape == (1, 1)


def test_a_window_of_the_whole_image_is_the_whole_image(model, pixels):
    square = pixels[:, :56]
    whole, tiled = Predictor(model)(square), Predictor(model, tile=56)(square)
    assert np.array_equal(whole.panoptic, tiled.panoptic)
    assert whole.segments == tiled.segments


def test_windows_cover_large_images_whatever_they_see_at_a_time(model):
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(noise).resize((130, 90)))
    alone, together = (Predictor(model, tile=40, batch=n)(large) for n in (1, 5))
    assert alone.panoptic.shape == (90, 130)
    assert (alone.panoptic == together.panoptic).mean() > 0.99
    assert alone.queries_used <= 8
    assert alone.semantic.shape == (90, 130)
    things = [s for s in alone.segments if s.isthing]
    assert len(alone.instances.masks) == len(things)
    with pytest.raises(ValueError, match="looked at in windows"):
        _ = alone.clusters


@pytest.mark.parametrize("given", [{"tile": -1}, {"tile": 64, "overlap": 0.95}])
def test_tiles_that_cannot_be_are_refused(given, model):
    with pytest.raises(ValueError, match="tile_overlap"):
        Predictor(model, **given)


def test_other_thresholds_need_no_other_look(predict, pixels):
    image = predict.read(pixels)
    glances = list(predict.look(image))
    strict = predict.decide(image, glances, MergeThresholds(thing=1.0, stuff=1.0))
    assert strict.segments == []
    assert not strict.panoptic.any()
    assert np.array_equal(predict.decide(image, glances).panoptic, predict(pixels).panoptic)
