"""Pictures of what is annotated, and of what the network is fed."""

import numpy as np
import pytest
from PIL import Image

from tests.scripts import exit_status, load_script
from tests.tiny_run import CONFIG, command

pytestmark = pytest.mark.slow


@pytest.fixture
def draw(shapes, tmp_path):
    """A function that runs the tool on the tiny dataset, and the folder of the pictures."""
    words = command(shapes, tmp_path / "run")[2:]
    main = load_script("tools/visualize_data.py").main

    def run(*more):
        first = ("--config-file", CONFIG, "--output", tmp_path / "out", *more)
        return exit_status(main, *first, "--opts", *words)

    return run, tmp_path / "out"


def test_annotations_are_drawn_at_their_size(draw):
    run, folder = draw
    assert run("--count", 4) == 0
    pictures = sorted(folder.glob("annotation_*.png"))
    assert len(pictures) == 4 and (folder / "sheet.png").is_file()
    assert all(Image.open(path).size == (97, 97) for path in pictures)


def test_samples_are_drawn_as_the_network_gets_them(draw):
    run, folder = draw
    assert run("--source", "dataloader", "--count", 3) == 0
    pictures = [np.asarray(Image.open(p)) for p in sorted(folder.glob("dataloader_*.png"))]
    assert len(pictures) == 3 and all(picture.shape == (65, 65, 3) for picture in pictures)
    first = pictures[0].copy()
    assert run("--source", "dataloader", "--count", 1) == 0
    assert np.array_equal(np.asarray(Image.open(folder / "dataloader_000.png")), first)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--count", "0"), "--count 0"),
        (("--source", "dataloader", "--split", "test"), "--split test"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words, complaint):
    run, folder = draw
    assert complaint in run(*words)
    assert not folder.exists()
