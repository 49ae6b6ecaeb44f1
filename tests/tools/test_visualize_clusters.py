"""Pages of clusters from the command line."""

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import exit_status, load_script
from tests.tiny_model import tiny_model


@pytest.fixture
def show(tmp_path):
    """A function that runs the command line for an image into tmp_path/out."""
    script, predict = load_script("tools/visualize_clusters.py"), Predictor(tiny_model())
    script.open_predictor = lambda args: (predict, predict.categories, "")
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    words = ("--input", tmp_path / "photo.png", "--output", tmp_path / "out")
    return lambda *more: exit_status(script.main, *words, *more)


def test_a_page_and_animations_are_written(show, tmp_path):
    assert show("--animation", "gif", "mp4") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"photo.clusters.{suffix}" for suffix in ("gif", "mp4", "png")]


def test_a_model_of_windows_shows_one_of_them(show, tmp_path):
    words = ("--tile", 32, "--animation")
    assert show(*words) == 0
    middle = (tmp_path / "out" / "photo.clusters.png").read_bytes()
    assert show(*words, "--crop", 14, 4, 32, 32) == 0
    assert (tmp_path / "out" / "photo.clusters.png").read_bytes() == middle
    assert "windows of 32 pixels" in show(*words, "--crop", 0, 0, 40, 40)
    assert "the image is 60 × 40" in show(*words, "--crop", 60, 0, 10, 10)
