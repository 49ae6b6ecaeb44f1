"""The page of a check: what it says, and the pictures of what was found."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.check.dataset_check import Source, check_dataset
from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.check.measured import summarize
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from kmax_deeplab.visualize.report.dataset_page import MOST_LISTED, write_dataset_page
from kmax_deeplab.visualize.report.finding_pictures import MOST_PICTURED, draw_findings
from kmax_deeplab.visualize.samples import draw_samples
from kmax_deeplab.visualize.views import CHOSEN
from tests.own_data import CELL, OwnData
from tests.pages import Page


@pytest.fixture
def data(tmp_path):
    """The first image's cell has a speck of one pixel."""
    data = OwnData(tmp_path / "data")
    ids = read_ids(data.png_path(0)).copy()
    ids[45, 3] = CELL
    write_ids(data.png_path(0), ids)
    return data


@pytest.fixture
def report(data):
    return check_dataset(Source("own & mine", data.images, data.json, data.pngs))


def make_page(tmp_path, report, findings):
    path = tmp_path / "new" / "check.html"
    samples = draw_samples(report, 2, seed=0)
    write_dataset_page(path, [report], [summarize(report)], [samples], findings)
    return path.read_text(encoding="utf-8")


def test_the_page_shows_facts_classes_samples_and_findings(tmp_path, report):
    text = make_page(tmp_path, report, [*report.findings, *report.notes])
    page = Page(text)
    assert "Check of own &amp; mine" in text and "http" not in text.replace("http-equiv", "")
    kinds, specks = page.tables["findings"][:2]
    assert kinds.keys() == {"wrong-area", "wrong-bbox", "specks"}
    assert kinds["specks"][:2] == ["note", 1] and kinds["wrong-area"][0] == "fault"
    assert len(specks) == 1
    classes, sizes = page.tables["dataset-0"]
    assert classes["cell"][:4] == ["thing", 4, 8, 4]
    assert sizes["257×257"][:2] == [0, 0]
    sources = [image["src"].partition(",") for image in page.images]
    assert {head for head, _, _ in sources} == {"data:image/png;base64"}
    sizes = [Image.open(io.BytesIO(base64.b64decode(body))).size for *_, body in sources]
    assert len(sizes) == 3 + 2 * 2  # a speck in three pictures, and two samples
    assert sizes[-1] == (72, 48)


def test_a_speck_is_shown_where_it_is(report):
    ((finding, example),) = draw_findings(report.notes, [report])
    assert finding.segments == (CELL,)
    marked, _, pointed = (panel.picture for panel in example.panels)
    assert (marked[47, 0] == CHOSEN).all() and (marked[0, 0] == CHOSEN).all()
    assert not (marked[:, 48:] == CHOSEN).all(axis=2).any()  # the frame is the left of the image
    rows, _ = np.nonzero((pointed == CHOSEN).all(axis=2))
    assert rows.max() > 0.9 * len(pointed)


def test_two_images_that_are_the_same_lie_side_by_side(data, report):
    files = [str(data.image_path(number)) for number in range(2)]
    ((_, example),) = draw_findings(
        [Finding("near-duplicate", files[1], "is nearly", beside=files[0])], [report]
    )
    assert [panel.remark for panel in example.panels] == files
    assert example.panels[0].picture.shape == (48, 72, 3)


def test_long_lists_end_and_only_the_first_are_drawn(tmp_path, data, report):
    file = str(data.image_path(0))
    many = [Finding("near-duplicate", file, str(i), beside=file) for i in range(MOST_LISTED + 5)]
    text = make_page(tmp_path, report, many)
    assert text.count("<article>") == MOST_PICTURED + 2
    assert "… and 5 more." in text


def test_a_dataset_that_cannot_be_used_has_a_page(tmp_path, data):
    data.content["categories"][0]["id"] = 300
    data.write_json()
    broken = check_dataset(Source("broken", data.images, data.json, data.pngs))
    assert "bad-category" in make_page(tmp_path, broken, broken.findings)
    missing = check_dataset(Source("missing", data.images, "none.json", data.pngs))
    assert "missing-place" in make_page(tmp_path, missing, missing.findings)


def test_nothing_found_is_said(tmp_path, report):
    assert "Nothing was found." in make_page(tmp_path, report, [])
