"""A folder of predictions holds whole results of one origin, whoever writes it and ends when."""

import json
import os
import threading

import numpy as np
import pytest

from kmax_deeplab import file_lock
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import read_ids, read_note, read_predictions, write_ids
from kmax_deeplab.predict import results as results_module
from kmax_deeplab.predict.origin import image_of
from kmax_deeplab.predict.results import ForeignResultsError, Results
from kmax_deeplab.whole_files import ABANDONED, write_png
from tests.own_data import CATEGORIES

ORIGIN = {"weights": "1", "classes": "2", "settings": "3"}
IDS = np.array([[0, 5], [5, 9]])
LISTED = [{"id": 5, "category_id": 300}, {"id": 9, "category_id": 7}]


@pytest.fixture
def named(tmp_path):
    """Three images."""
    named = {name: tmp_path / "images" / f"{name}.jpg" for name in ("a", "sub/b", "c.d")}
    for path in named.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return named


@pytest.fixture
def open_results(tmp_path, named):
    """A function that opens the folder as another process would."""
    categories = Categories.from_json(CATEGORIES)
    return lambda mine=None, **other: Results(
        tmp_path / "out", named, {**ORIGIN, **other}, categories, mine=mine
    )


def predict(results, *names, ids=IDS):
    for name in names:
        write_png(results.output / "overlays" / f"{name}.png", np.zeros((2, 2), np.uint8))
        results.add(name, image_of(results.named[name]), ids, LISTED)


def listed(results):
    """The names in predictions.json, each with a PNG that holds the listed segments."""
    found = list(read_predictions(results.json))
    for entry, ids in found:
        assert set(ids.ravel().tolist()) - {0} == {s["id"] for s in entry["segments_info"]}
    return [entry["image_id"] for entry, _ in found]


def test_a_png_carries_its_entry(open_results):
    results = open_results()
    predict(results, "a")
    path = results.pngs / "a.png"
    assert np.array_equal(read_ids(path), IDS)
    assert json.loads(read_note(path))["segments"] == LISTED


def test_the_json_lists_what_all_processes_predicted_in_the_order_of_names(open_results):
    first, second = open_results(), open_results()
    predict(second, "sub/b")
    predict(first, "c.d", "a")
    first.gather()
    second.gather()
    assert listed(first) == ["a", "c.d", "sub/b"]
    content = json.loads(first.json.read_text())
    assert content["annotations"][2] == {
        "image_id": "sub/b",
        "file_name": "sub/b.png",
        "segments_info": LISTED,
    }
    assert [category["id"] for category in content["categories"]] == [7, 300, 12]


def test_of_two_processes_that_end_at_once_none_overwrites_what_the_other_found(
    open_results, monkeypatch
):
    first, second = open_results(), open_results()
    find, thread = first._find, threading.Thread(target=second.gather)

    def find_and_be_overtaken():
        found = find()
        predict(second, "c.d")
        thread.start()
        thread.join(timeout=0.3)
        return found

    monkeypatch.setattr(first, "_find", find_and_be_overtaken)
    predict(first, "a")
    first.gather()
    thread.join()
    assert listed(first) == ["a", "c.d"]


def test_who_was_killed_before_the_json_lost_nothing(open_results, named):
    predict(open_results(), "a", "sub/b")
    again = open_results()
    assert again.begin(named) == {"c.d": named["c.d"]}
    again.gather()
    assert listed(again) == ["a", "sub/b"]
    assert "2 images (1 of those named are not there, or not yet)" in again.summary()


def test_an_image_that_is_another_file_since_is_predicted_anew(open_results, named):
    results = open_results()
    predict(results, *named)
    results.gather()
    named["a"].write_bytes(b"another")
    again = open_results()
    assert list(again.begin(named)) == ["a"]
    assert listed(again) == ["c.d", "sub/b"]  # before the PNG changes
    predict(again, "a", ids=np.array([[5, 9]]))
    again.gather()
    assert listed(again) == ["a", "c.d", "sub/b"]
    assert not open_results().begin(named)


def test_a_touched_image_a_lost_overlay_or_a_damaged_png_is_predicted_anew(open_results, named):
    predict(open_results(), *named)
    os.utime(named["a"], (1, 1))
    results = open_results()
    (results.output / "overlays" / "c.d.png").unlink()
    (results.pngs / "sub" / "b.png").write_bytes(b"")
    assert open_results().begin(named).keys() == named.keys()


def test_predictions_of_other_images_of_the_same_model_stay(open_results, named):
    predict(open_results(), *named)
    del named["a"]
    results = open_results()
    results.gather()
    assert listed(results) == ["a", "c.d", "sub/b"]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"weights": "7"}, "other weights"),
        ({"classes": "7", "settings": "7"}, "other classes and settings"),
    ],
)
def test_a_folder_of_another_origin_is_refused_and_left(other, what, open_results):
    results = open_results()
    predict(results, "a")
    results.gather()
    before = {path: path.read_bytes() for path in results.output.rglob("*") if path.is_file()}
    with pytest.raises(ForeignResultsError, match=rf"out holds predictions of {what}: .*--output"):
        open_results(**other)
    assert {path: path.read_bytes() for path in before} == before


def test_predictions_that_do_not_say_where_they_are_from_are_refused(open_results, tmp_path):
    write_ids(tmp_path / "out" / "predictions" / "a.png", IDS)
    with pytest.raises(ForeignResultsError, match=r"do not say .*\(a\.png\): choose another"):
        open_results()
    (tmp_path / "out" / "predictions" / "a.png").unlink()
    for content in ('{"annotations": [{}]}', "[]"):
        (tmp_path / "out" / "predictions.json").write_text(content)
        with pytest.raises(ForeignResultsError, match=r"do not say .*\(predictions\.json\)"):
            open_results()


def test_what_a_killed_process_left_is_removed_once_it_is_old(open_results, named):
    results = open_results()
    places = [results.output, results.pngs / "sub", results.output / "overlays"]
    left = [place / ".b.0123abcd.partial.png" for place in places]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    results.begin(named)
    assert all(path.exists() for path in left)  # another process may be writing them
    for path in left:
        old = path.stat().st_mtime - ABANDONED - 10
        os.utime(path, (old, old))
    results.begin(named)
    assert not any(path.exists() for path in left)


def test_a_lock_is_waited_for_but_not_for_ever(tmp_path):
    path = tmp_path / "sub" / ".lock"
    refused = pytest.raises(TimeoutError, match=r"\.lock is held by another process")
    with file_lock.hold(path), refused, file_lock.hold(path, patience=0.1):
        pass
    with file_lock.hold(path, patience=0.1):
        pass


def test_a_share_reads_what_others_did_only_at_its_end(open_results, named, monkeypatch):
    predict(open_results(), "a", "sub/b")
    read, read_note_of = [], results_module.read_note
    monkeypatch.setattr(
        results_module, "read_note", lambda path: (read.append(path.stem), read_note_of(path))[1]
    )
    results = open_results(mine={"a", "c.d"})
    assert read == ["a"]
    assert list(results.begin({"a": named["a"], "c.d": named["c.d"]})) == ["c.d"]
    assert read == ["a"]
    results.gather()
    assert listed(results) == ["a", "sub/b"]
