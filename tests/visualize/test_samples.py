import numpy as np
import pytest

from kmax_deeplab.data.check.dataset_check import Source, check_dataset
from kmax_deeplab.visualize.samples import draw_samples, sample_sheet
from tests.own_data import OwnData, truncate


@pytest.fixture
def data(tmp_path):
    return OwnData(tmp_path)


def report(data):
    return check_dataset(Source("own", data.images, data.json, data.pngs))


def test_the_same_seed_draws_the_same_samples(data):
    checked = report(data)
    first, again, *others = (
        sample_sheet(draw_samples(checked, 2, seed)) for seed in (1, 1, 2, 3, 4, 5)
    )
    assert (first == again).all()
    assert any(not np.array_equal(first, other) for other in others)


def test_an_image_lies_beside_its_labels(data):
    (example,) = draw_samples(report(data), 1, seed=0)
    assert [panel.caption for panel in example.panels] == ["image", "labels"]
    image, labels = (panel.picture for panel in example.panels)
    assert image.shape == labels.shape == (48, 72, 3)
    assert not np.array_equal(image, labels)


def test_images_that_cannot_be_drawn_are_left_out(data):
    assert len(draw_samples(report(data), 4, seed=0)) == 4
    truncate(data.image_path(3))
    data.segments(0)[0]["category_id"] = 8
    data.write_json()
    assert len(draw_samples(report(data), 4, seed=0)) == 2


def test_nothing_is_drawn_where_nothing_can_be(data):
    assert draw_samples(report(data), 0, seed=0) == []
    data.content["categories"][0]["id"] = 300
    data.write_json()
    assert draw_samples(report(data), 4, seed=0) == []
