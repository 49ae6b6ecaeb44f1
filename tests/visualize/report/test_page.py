import base64
import io
import re
from math import nan

import numpy as np
import pytest
import torch
from PIL import Image

from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import Prediction
from kmax_deeplab.visualize.cluster_maps import query_palette
from kmax_deeplab.visualize.examples import Segmentation, make_example
from kmax_deeplab.visualize.query_panels import find_owners, layer_panels
from kmax_deeplab.visualize.report.curves import Curve
from kmax_deeplab.visualize.report.page import Report, write_report
from kmax_deeplab.visualize.report.scores import Score
from tests.pages import Page

CLUE = "segments, by query"


@pytest.fixture
def example(image, categories):
    panoptic = np.zeros((40, 60), dtype=int)
    panoptic[:, :30] = 1
    truth = Segmentation(panoptic, [{"id": 1, "category_id": 2, "isthing": True}])
    predictions = [
        Prediction(torch.empty(0), torch.randn(1, 8, *grid), torch.empty(0))
        for grid in ((3, 3), (5, 5), (9, 9), (17, 17))
    ]
    geometry = Geometry((65, 65), (65, 65), image.shape[:2])
    layers = layer_panels(image, predictions, geometry, truth, categories)
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
    assert captions == ["k-means layer 0", "k-means layer 1", "k-means layer 2", "final", CLUE]
    layers = example.layers[:-1]
    strides = [re.match(r"stride (\d+), \d of 8 clusters", p.remark)[1] for p in layers]
    assert strides == ["32", "16", "8", "4"]


def test_small_images_are_enlarged_until_names_are_readable(example):
    assert [panel.caption for panel in example.panels] == ["image", "ground truth"]
    assert all(panel.picture.shape == (360, 540, 3) for panel in example.panels)


def test_the_page_is_well_formed_and_needs_no_other_file(page):
    outline = Page(page)
    assert not re.search(
        r"https?://(?!www.w3.org/(2000/svg|1999/xlink)\")|<link|<script src|url\((?!#)", page
    )
    assert all(image["src"].startswith("data:image/png;base64,") for image in outline.images)


def test_all_pictures_are_in_the_page_unchanged(page, example):
    outline = Page(page)
    panels = [*example.panels, *example.layers]
    for image, panel in zip(outline.images, panels, strict=True):
        png = base64.b64decode(image["src"].partition(",")[2])
        assert (np.asarray(Image.open(io.BytesIO(png))) == panel.picture).all()


def test_numbers_settings_and_names_are_shown_escaped(page):
    assert "61.3" in page
    assert "a &amp; b.yaml" in page
    assert "&lt;dog&gt;" in page
    assert "<dog>" not in page


def test_a_query_leads_to_its_segments():
    clusters = np.array([[0, 0, 0, 5], [0, 5, 5, 5]])
    panoptic = np.array([[1, 1, 2, 2], [1, 3, 2, 2]])
    listed = [{"id": i} for i in (1, 2, 3, 4)]
    assert find_owners(clusters, Segmentation(panoptic, listed)) == {1: 0, 2: 5, 3: 5}


def test_the_last_picture_names_segments_with_their_queries(example):
    assert re.fullmatch(r"<dog> 1: q\d", example.layers[-1].remark)


def test_no_query_looks_like_a_class(categories):
    palette = query_palette(200, categories.colors).astype(float)
    gaps = np.linalg.norm(palette[:, None] - np.array(categories.colors), axis=-1)
    assert gaps.min() > 60
    assert (query_palette(7, categories.colors) == palette[:7]).all()
    assert len(np.unique(palette, axis=0)) == 200


def test_quality_over_iterations_is_listed_as_it_was_logged(tmp_path, categories):
    metrics = {"panoptic_seg/PQ": Curve([20, 40], [10.125, 20.0]), "total_loss": Curve([1], [2.0])}
    metrics["panoptic_seg/PQ_th"] = Curve([40], [30.5])
    path = tmp_path / "report.html"
    write_report(path, Report("Title", "Text", [], categories, {}, metrics, []))
    (rows,) = Page(path.read_text(encoding="utf-8")).tables["history"]
    assert rows == {"20": [10.125, None, None, None, None], "40": [20.0, None, None, 30.5, None]}
