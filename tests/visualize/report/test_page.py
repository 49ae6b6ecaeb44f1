import base64
import io
import re
from html.parser import HTMLParser
from math import nan

import numpy as np
import pytest
import torch
from PIL import Image

from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import Prediction
from kmax_deeplab.visualize.examples import Segmentation, layer_panels, make_example
from kmax_deeplab.visualize.loss_curves import Curve
from kmax_deeplab.visualize.report import Report, write_report
from kmax_deeplab.visualize.scores import Score

VOID_TAGS = {"meta", "img"}


class Outline(HTMLParser):
    """Checks that tags close in order, and gathers images and captions."""

    def __init__(self):
        super().__init__()
        self.open, self.images = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def example(image, categories):
    panoptic = np.zeros((40, 60), dtype=int)
    panoptic[:, :30] = 1
    truth = Segmentation(panoptic, [{"id": 1, "category_id": 2, "isthing": True}])
    predictions = [
        Prediction(torch.empty(0), torch.randn(1, 8, *grid), torch.empty(0))
        for grid in ((3, 3), (5, 5), (9, 9), (17, 17))
    ]
    layers = layer_panels(image, predictions, Geometry((65, 65), (65, 65), image.shape[:2]))
    return make_example("image 7", image, {"ground truth": truth}, categories, layers)


@pytest.fixture
def page(tmp_path, example, categories):
    losses = {"total_loss": Curve([0, 20], [3.0, 2.0]), "loss_ce": Curve([0], [1.0])}
    scores = [Score("all", (61.26, 80.0, 76.0)), Score("cat", (nan, nan, nan), (200, 0, 0))]
    settings = {"config": "a & b.yaml"}
    path = tmp_path / "new" / "report.html"
    write_report(path, Report("Title", "Text", scores, categories, settings, losses, [example]))
    return path.read_text(encoding="utf-8")


def test_layers_are_captioned_with_index_and_stride(example):
    captions = [panel.caption for panel in example.layers]
    assert captions == ["k-means layer 0", "k-means layer 1", "k-means layer 2", "final"]
    strides = [re.match(r"stride (\d+), \d of 8 clusters", p.remark)[1] for p in example.layers]
    assert strides == ["32", "16", "8", "4"]


def test_small_images_are_enlarged_until_names_are_readable(example):
    assert [panel.caption for panel in example.panels] == ["image", "ground truth"]
    assert all(panel.picture.shape == (360, 540, 3) for panel in example.panels)


def test_the_page_is_well_formed_and_needs_no_other_file(page):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert not re.search(
        r"https?://(?!www.w3.org/(2000/svg|1999/xlink)\")|<link|<script src|url\((?!#)", page
    )
    assert all(image["src"].startswith("data:image/png;base64,") for image in outline.images)


def test_all_pictures_are_in_the_page_unchanged(page, example):
    outline = Outline()
    outline.feed(page)
    panels = [*example.panels, *example.layers]
    for image, panel in zip(outline.images, panels, strict=True):
        png = base64.b64decode(image["src"].partition(",")[2])
        assert (np.asarray(Image.open(io.BytesIO(png))) == panel.picture).all()


def test_numbers_settings_and_names_are_shown_escaped(page):
    assert "61.3" in page
    assert "a &amp; b.yaml" in page
    assert "&lt;dog&gt;" in page
    assert "<dog>" not in page
