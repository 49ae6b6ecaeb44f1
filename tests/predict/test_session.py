"""Who looks at an image on a page gets what the predictor says, without another look."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format.images import TURNS
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.predict import session
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.session import (
    CLUSTERS,
    OBJECTS,
    PHOTO,
    SEGMENTS,
    visit,
)
from kmax_deeplab.predict.visits import GoneError, Visits
from kmax_deeplab.predict.words import VOID, describe, summary, table, titles
from kmax_deeplab.visualize.views import CHOSEN
from tests.tiny_model import tiny_model

MOST = 10_000


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """Pictures three times as large as the image: they are drawn faster."""
    monkeypatch.setattr(session, "SHOWN_SIDE", 240)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    noise = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("images") / "photo.png"
    Image.fromarray(noise).resize((80, 56)).save(path)
    return path


@pytest.fixture(scope="module")
def seen(model, path):
    """An image that was looked at as a whole."""
    return visit(Predictor(model), path, MOST)


@pytest.fixture(scope="module")
def tiled(model, path):
    """One that was looked at in windows."""
    return visit(Predictor(model, tile=40), path, MOST)


def test_it_finds_what_the_predictor_finds(seen, tiled, model, path):
    for one, predict in ((seen, Predictor(model)), (tiled, Predictor(model, tile=40))):
        found, expected = one.decide(model.merge), predict(path)
        assert np.array_equal(found.panoptic, expected.panoptic)
        assert found.segments == expected.segments
        assert found.name == "photo.png"  # and not where it lies on the server


def test_the_network_looks_once_whatever_is_changed(seen, model, monkeypatch):
    monkeypatch.setattr(model, "look", None)
    few = replace(model.merge, thing=1.0)
    assert any(s.isthing for s in seen.decide(model.merge).segments)
    assert not any(s.isthing for s in seen.decide(few).segments)
    for view in seen.views:
        assert seen.draw(view, few).shape == (56 * seen.factor, 80 * seen.factor, 3)


def test_every_view_is_another_picture(seen, tiled, model):
    for one in (seen, tiled):
        pictures = [one.draw(view, model.merge) for view in one.views]
        assert len({picture.tobytes() for picture in pictures}) == len(one.views)


def test_small_images_are_enlarged_and_every_layer_has_its_clusters(seen, model):
    assert seen.draw(PHOTO, model.merge).shape == (168, 240, 3)
    maps = [seen.draw(CLUSTERS, model.merge, layer=layer) for layer in range(seen.layers)]
    assert len(maps) == 3
    assert not np.array_equal(maps[0], maps[1])


def test_windows_have_no_clusters_in_common(tiled, model):
    assert CLUSTERS not in tiled.views
    with pytest.raises(KeyError, match="view 'Clusters' is none of Segments, Classes, Objects"):
        tiled.draw(CLUSTERS, model.merge)
    assert all(len(glance.layers) == 1 for glance in tiled.glances)


def test_a_threshold_for_things_leaves_fewer_objects(seen, tiled, model):
    for one in (seen, tiled):
        none = one.draw(OBJECTS, replace(model.merge, thing=1.0))
        assert np.array_equal(none, one.draw(PHOTO, model.merge))
        assert not np.array_equal(one.draw(OBJECTS, model.merge), none)


def test_a_place_of_the_picture_is_a_segment_which_is_pointed_out(seen, model):
    found = seen.decide(model.merge)
    row, column = np.argwhere(found.panoptic > 0)[0]
    half = seen.factor // 2
    chosen = seen.choose(model.merge, column * seen.factor + half, row * seen.factor + half)
    assert chosen == found.panoptic[row, column]
    assert seen.choose(model.merge, 10**6, 10**6) == found.panoptic[-1, -1]
    plain = seen.draw(SEGMENTS, model.merge)
    pointed = seen.draw(SEGMENTS, model.merge, chosen)
    inside = found.panoptic.repeat(seen.factor, 0).repeat(seen.factor, 1) == chosen
    assert np.array_equal(pointed[inside], plain[inside])
    assert (pointed == CHOSEN).all(-1).any()


def test_words_say_what_a_segment_is(seen, model):
    found = seen.decide(model.merge)
    for segment, row in zip(found.segments, table(found), strict=True):
        title = titles(found)[segment.id]
        assert title.split()[0] == segment.name
        assert row == [segment.id, title, round(segment.score, 3), segment.area]
        said = describe(found, segment.id)
        assert said.startswith(f"{title}: score {segment.score:.2f}, {segment.area:,} pixels (")
    assert describe(found, 0) == VOID
    assert summary(found).startswith("photo.png, 80 × 56 pixels: ")
    nothing = seen.decide(replace(model.merge, thing=1.0, stuff=1.0))
    assert summary(nothing) == "photo.png, 80 × 56 pixels: nothing found."


def test_what_is_saved_is_what_is_seen(seen, model, tmp_path):
    merge = replace(model.merge, thing=0.5)
    archive = zipfile.ZipFile(seen.save(merge, tmp_path / "out"))
    assert archive.namelist() == ["photo.json", "photo.overlay.png", "photo.png"]
    (annotation,) = json.loads(archive.read("photo.json"))["annotations"]
    assert annotation["image_id"] == "photo.png"
    assert len(annotation["segments_info"]) == len(seen.decide(merge).segments)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.zip"]


def test_who_waits_is_told_how_far_it_is(model, path):
    told = []
    visit(Predictor(model, tile=40), path, MOST, lambda *far: told.append(far))
    assert told == [(n + 1, len(told)) for n in range(len(told))]
    assert len(told) > 2


@pytest.mark.parametrize("orientation", [2, 6])
def test_photos_are_upright(orientation, model, path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(turned := path.with_name("turned.png"), exif=exif)
    expected = Image.open(path).transpose(TURNS[orientation])
    assert np.array_equal(visit(Predictor(model), turned, MOST).image.pixels, np.asarray(expected))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", r"cannot be read \(no image of a known format\)"),
        (b"", r"cannot be read \(no image of a known format\)"),
        ("truncated", "cannot be read"),
        (Image.new("I;16", (4, 4)), "has mode I;16: bring it to 8 bits"),
        (Image.new("L", (101, 100)), "has 101 × 100 pixels, .*make it smaller$"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(content, message, model, path):
    bad = path.with_name("bad.png")
    if content == "truncated":
        content = path.read_bytes()[:100]
    if isinstance(content, bytes):
        bad.write_bytes(content)
    else:
        content.save(bad)
    with pytest.raises(UnreadableImageError) as caught:
        visit(Predictor(model), bad, MOST)
    assert caught.match(message)
    assert "<" not in caught.value.strerror


def test_what_was_not_used_for_longest_is_forgotten_first(seen):
    visits = Visits(most_bytes=2 * seen.num_bytes)
    for key in "ab":
        visits.keep(key, seen)
    visits.get("a")
    visits.keep("c", seen)
    assert visits.get("a") and visits.get("c")
    with pytest.raises(GoneError, match="upload it again"):
        visits.get("b")
    visits.keep("a", seen)
    assert len(visits) == 2
    visits.forget("a")
    visits.forget("never there")
    assert len(visits) == 1


def test_the_newest_is_kept_however_large_it_is(seen):
    visits = Visits(most_bytes=1)
    visits.keep("a", seen)
    visits.keep("b", seen)
    assert len(visits) == 1
    assert visits.get("b") is seen


def test_features_are_not_kept(seen):
    assert all(layer.pixel_feature.numel() == 0 for layer in seen.glances[0].layers)
    assert seen.num_bytes > seen.image.pixels.nbytes
