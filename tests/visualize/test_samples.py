import numpy as np
import pytest

from kmax_deeplab.data.check.dataset_check import Source, check_dataset
from kmax_deeplab.visualize.samples import draw_samples
from tests.own_data import OwnData, truncate


@pytest.fixture
def data(tmp_path):
    return OwnData(tmp_path)


def report(data):
    return check_dataset(Source("own", data.images, data.json, data.pngs))


def test_the_same_seed_draws_the_same_samples(data):
    checked = report(data)
    first, again = (draw_samples(checked, 2, seed=1) for _ in range(2))
    assert (first == again).all()
    assert any(not np.array_equal(first, draw_samples(checked, 2, seed)) for seed in range(2, 6))


def test_images_that_cannot_be_drawn_are_left_out(data):
    whole = draw_samples(report(data), 4, seed=0)
    truncate(data.image_path(3))
    data.segments(0)[0]["category_id"] = 8
    data.write_json()
    assert draw_samples(report(data), 4, seed=0).shape[1] < whole.shape[1]


def test_nothing_is_drawn_where_nothing_can_be(data):
    assert draw_samples(report(data), 0, seed=0) is None
    data.content["categories"][0]["id"] = 300
    data.write_json()
    assert draw_samples(report(data), 4, seed=0) is None
