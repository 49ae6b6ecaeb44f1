"""A page about predictions on disk: its tables are the numbers, its pictures show the faults."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.metrics.faults import DatasetReport
from kmax_deeplab.visualize.fault_map import COLORS, FILL, draw_faults
from tests.metrics.test_faults import CATEGORIES, planted
from tests.scripts import exit_status, load_script


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
    return (folder / "found" / "report.html").read_text(encoding="utf-8")


def rows(page, anchor):
    """The cells of a section's table, row by row."""
    section = re.search(rf'<section id="{anchor}">.*?</section>', page, re.DOTALL)[0]
    found = re.findall(r'<tr class="\w*"><th scope="row">(.*?)</th>(.*?)</tr>', section, re.DOTALL)
    strip = re.compile(r"<i.*?</i>")
    return {strip.sub("", name): re.findall("<td>(.*?)</td>", cells) for name, cells in found}


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
    by_class = rows(page, "classes")
    for category in CATEGORIES:
        quality = known.by_category[category["id"]]
        counts = known.statistics[category["id"]]
        cells = by_class[category["name"]]
        assert cells[0] == f"{100 * quality.pq:.1f}"
        assert cells[3:6] == [str(n) for n in (counts.tp, counts.fn, counts.fp)]
    assert rows(page, "confusion") == {"cell": ["dust", "1"]}
    assert rows(page, "quality")["all"][0] == f"{100 * known.qualities['all'].pq:.1f}"
    for anchor in re.findall(r'href="#([\w-]+)"', page):
        assert f'id="{anchor}"' in page
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", page)


def test_two_runs_are_set_side_by_side(tmp_path, sides):
    write(tmp_path, sides)
    better = tmp_path / "better"
    better.mkdir()
    write(better, [(truth, truth) for _, truth in sides])
    page = report(tmp_path, "--compare", better / "found")
    compared = rows(page, "comparison")
    assert compared["ground"][1] == "100.0"
    assert compared["0.png"][2].startswith("+")
    assert compared["1.png"][2] == "+0.0"
    assert "Got better" in page
    assert "Got worse" not in page


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
