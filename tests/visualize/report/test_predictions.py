"""A page about predictions on disk: its tables are the numbers, its pictures show the faults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.metrics.faults import DatasetReport
from kmax_deeplab.metrics.panoptic_quality import LabelledMap
from kmax_deeplab.visualize.report.error_map import COLORS, FILL, draw_faults
from kmax_deeplab.visualize.report.predictions import distinct_names
from kmax_deeplab.visualize.views import HATCHED
from tests.metrics.test_faults import CATEGORIES, CELL, GROUND, labelled, planted
from tests.pages import Page
from tests.scripts import ROOT, exit_status, load_script


def write(folder, sides):
    """Writes truth and predictions of images in COCO's panoptic format."""
    annotations = {"truth": [], "found": []}
    for number, (found, truth) in enumerate(sides):
        for kind, side in (("found", found), ("truth", truth)):
            stem = folder / ("found/predictions" if kind == "found" else "truth")
            write_ids(stem / f"{number}.png", side.ids)
            entry = {"image_id": number, "file_name": f"{number}.png"}
            annotations[kind].append({**entry, "segments_info": list(side.segments_info)})
        grey = np.full((*truth.ids.shape, 3), 128, np.uint8)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(grey).save(folder / "images" / f"{number}.png")
    images = [{"id": n, "file_name": f"{n}.png"} for n in range(len(sides))]
    common = {"categories": CATEGORIES}
    content = {"images": images, "annotations": annotations["truth"], **common}
    (folder / "truth.json").write_text(json.dumps(content))
    content = {"annotations": annotations["found"], **common}
    (folder / "found" / "predictions.json").write_text(json.dumps(content))


def report(folder, *more):
    places = ["--predictions", folder / "found", "--truth", folder / "truth.json"]
    words = [*places, "--images", folder / "images", *more]
    assert exit_status(load_script("tools/report.py").main, *words) == 0
    return Page((folder / "found" / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def sides():
    found, truth = planted()
    return [(found, truth), (truth, truth)]


def test_the_tables_are_the_numbers(tmp_path, sides):
    write(tmp_path, sides)
    page = report(tmp_path)
    known = DatasetReport(CATEGORIES)
    for index, pair in enumerate(sides):
        known.add(*pair, str(index))
    (by_class,) = page.tables["quality"]
    for category in CATEGORIES:
        quality = known.by_category[category["id"]]
        counts = known.statistics[category["id"]]
        cells = by_class[category["name"]]
        assert cells[:3] == [100 * value for value in (quality.pq, quality.sq, quality.rq)]
        assert cells[3:6] == [counts.tp, counts.fn, counts.fp]
    assert by_class["cell"][6:8] == [1, 1]  # of the wrong class, of poor shape
    assert by_class["all"][0] == 100 * known.qualities["all"].pq
    assert by_class["things"][3:6] == [1 + 4, 3, 3]
    (matrix,) = page.tables["confusion"]
    assert matrix["cell"] == [1 + 4, 1, 1, 8]  # found, taken for dust, not found, of all
    assert matrix["dust"] == [0, 0, 0, 0]
    (sizes,) = page.tables["sizes"]
    assert sizes["things, small: below 32² pixels"][3:] == [5, 3, 3]
    (images,) = page.tables["all-images"]
    assert list(images) == ["0.png", "1.png"]  # the worst first
    assert images["1.png"] == [100.0, 100.0, 100.0, *(len(truth_of(sides, 1)), 0, 0)]


def truth_of(sides, number):
    return sides[number][1].segments_info


def test_the_page_needs_no_other_file_and_leads_nowhere_else(tmp_path, sides):
    write(tmp_path, sides)
    page = report(tmp_path)
    assert {link.removeprefix("#") for link in page.links} <= page.anchors
    assert all(image["src"].startswith("data:") for image in page.images)


def test_two_runs_are_set_side_by_side(tmp_path, sides):
    write(tmp_path, sides)
    better = tmp_path / "better"
    better.mkdir()
    write(better, [(truth, truth) for _, truth in sides])
    page = report(tmp_path, "--compare", better / "found")
    classes, images = page.tables["comparison"]
    assert classes["cell"][1] == 100.0
    assert classes["cell"][2] == 100.0 - classes["cell"][0]
    before, after, change, *counts = images["0.png"]
    assert (after, change) == (100.0, after - before)
    assert counts == [3, -3, -3]  # matched, missed and invented: what changed
    assert images["1.png"][2:] == [0.0, 0, 0, 0]
    assert list(images) == ["1.png", "0.png"]  # the greatest loss first
    assert "got-better" in page.anchors
    assert "got-worse" not in page.anchors


def test_runs_are_named_by_what_tells_them_apart():
    places = [Path("/x/one/out"), Path("/x/two/out")]
    assert distinct_names(places) == ["one/out", "two/out"]
    assert distinct_names([Path("a/v1.0"), Path("a/v1.1.json")]) == ["v1.0", "v1.1"]
    assert len(set(distinct_names([Path("a"), Path("a")]))) == 2


def test_pngs_may_lie_beside_the_json(tmp_path, sides):
    write(tmp_path, sides)
    for path in (tmp_path / "found" / "predictions").iterdir():
        path.rename(tmp_path / "found" / path.name)
    (tmp_path / "found" / "predictions").rmdir()
    assert report(tmp_path).tables["quality"][0]["ground"][3:6] == [2, 0, 0]


@pytest.mark.slow
def test_predictions_of_anybody_need_no_detectron2(tmp_path, sides):
    write(tmp_path, sides)
    words = ["--predictions", tmp_path / "found", "--truth", tmp_path / "truth.json"]
    program = (
        "import sys; sys.modules['detectron2'] = None; sys.path.insert(0, 'tools'); import report; "
        "report.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, *map(str, words)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (tmp_path / "found" / "report.html").is_file()


def test_the_error_map_paints_each_kind_of_fault():
    found, truth = planted()
    faults = DatasetReport(CATEGORIES).add(found, truth, "a").faults
    picture = draw_faults(np.zeros((12, 30, 3), np.uint8), truth.ids, found.ids, faults)

    def filled(kind):
        return (np.array(COLORS[kind]) * FILL).round().tolist()

    assert picture[2, 8].tolist() == filled("missed")
    assert picture[2, 14].tolist() == filled("invented")
    assert picture[2, 20].tolist() == filled("wrong class")
    assert picture[8, 7].tolist() == filled("poor shape")
    assert picture[8, 2].tolist() == [0, 0, 0]
    assert picture[1, 1].tolist() == list(COLORS["matched"])


def test_void_is_hatched_in_the_error_map_and_no_fault():
    found, truth = planted()
    ids = truth.ids.copy()
    ids[:, 25:] = 0
    sides = found, LabelledMap(ids, truth.segments_info)
    faults = DatasetReport(CATEGORIES).add(*sides, "a").faults
    picture = draw_faults(np.zeros((12, 30, 3), np.uint8), ids, found.ids, faults)
    void = picture[:, 25:]
    assert set(np.unique(void)) == {0, HATCHED}


def test_what_is_wrong_bears_the_number_of_its_segment():
    truth, found = np.ones((200, 200), int), np.ones((200, 200), int)
    truth[20:180, 20:180] = 2
    sides = labelled(found, s1=GROUND), labelled(truth, s1=GROUND, s2=CELL)
    faults = DatasetReport(CATEGORIES).add(*sides, "a").faults
    grey = np.zeros((200, 200, 3), np.uint8)
    plain, named = (
        draw_faults(grey, truth, found, faults, numbers) for numbers in (({}, {}), ({2: "1"}, {}))
    )
    assert (plain[30, 100] == named[30, 100]).all()
    assert named.min(axis=2).max() > 200  # white letters
    assert plain.min(axis=2).max() < 100


def test_a_folder_without_predictions_is_named(tmp_path, sides, capsys):
    write(tmp_path, sides)
    words = ["--predictions", tmp_path, "--truth", tmp_path / "truth.json"]
    status = exit_status(load_script("tools/report.py").main, *words)
    assert "predictions.json is missing" in f"{status} {capsys.readouterr().err}"


def test_an_image_without_prediction_is_named(tmp_path, sides, capsys):
    write(tmp_path, sides)
    path = tmp_path / "found" / "predictions.json"
    content = json.loads(path.read_text())
    del content["annotations"][1]
    path.write_text(json.dumps(content))
    words = ["--predictions", path, "--truth", tmp_path / "truth.json"]
    status = exit_status(load_script("tools/report.py").main, *words)
    assert "has no prediction of 1.png" in f"{status} {capsys.readouterr().err}"
    assert not (tmp_path / "found" / "report.html").exists()
