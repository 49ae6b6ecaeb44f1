"""How k-means settles is counted, and drawn so that it can be followed."""

import numpy as np
import torch
from PIL import Image

from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import VOID, Prediction
from kmax_deeplab.visualize.cluster_animation import STILL, animate, at_rate, write_gif
from kmax_deeplab.visualize.cluster_layers import changed_minds, changed_pixels, read_layers
from kmax_deeplab.visualize.cluster_strip import DARK, draw_strip, paint_layer
from kmax_deeplab.visualize.overlays import magnify

GEOMETRY = Geometry((8, 8), (8, 8), (8, 8))


def prediction(owners, classes, queries=4, num_classes=3):
    """Says without a doubt who owns each point of a 2 × 2 grid, and what each query says."""
    owners = torch.tensor(owners)
    masks = torch.stack([10.0 * (owners == query) for query in range(queries)])
    logits = 20.0 * torch.eye(num_classes + 1)[classes]
    return Prediction(logits[None], masks[None], torch.zeros(1))


def two_layers():
    """At first query 0 owns all; then 1 takes the right half and is a cat. 2 and 3 own nothing."""
    first = prediction([[0, 0], [0, 0]], [0, 3, 3, 1])
    final = prediction([[0, 1], [0, 1]], [3, 1, 3, 1])
    return read_layers([first, final], GEOMETRY)


def test_each_layer_says_who_owns_what_and_what_that_is():
    first, final = two_layers()
    assert (first.name, final.name, final.stride) == ("layer 1", "final", 4)
    assert first.owners.tolist() == [0]
    assert final.owners.tolist() == [0, 1]
    assert final.classes.tolist() == [VOID, 1, VOID, 1]
    assert final.found.tolist() == [1]
    assert (final.probs > 0.99).all()
    assert final.centers[:2].tolist() == [[1.5, 3.5], [5.5, 3.5]]
    assert np.isnan(final.centers[2]).all()


def test_changes_are_counted():
    layers = two_layers()
    assert changed_pixels(layers) == [0.5]
    assert changed_minds(layers) == [2]


def test_what_is_said_to_be_nothing_is_dark():
    first, final = two_layers()
    white = np.full((8, 8, 3), 255, np.uint8)
    bright, dark = paint_layer(first, white)[0, 0], paint_layer(final, white)[0, 0]
    assert np.allclose(dark, DARK * bright, atol=1)


def test_page_and_animation_are_made_whatever_was_found(categories, tmp_path):
    image = np.full((8, 8, 3), 90, np.uint8)
    nothing = read_layers([prediction([[2, 2], [2, 2]], [3, 3, 3, 3])] * 7, GEOMETRY)
    for layers in (two_layers(), nothing):
        page = draw_strip(image, layers, magnify(image, 4), categories, "A title")
        assert page.ndim == 3
        assert page.shape[1] > 400
        frames = list(animate(image, layers, magnify(image, 4)))
        assert len({picture.shape for picture, _ in frames}) == 1
        assert sum(duration == STILL for _, duration in frames) == len(layers) + 1
        write_gif(tmp_path / "a.gif", frames)
        assert Image.open(tmp_path / "a.gif").n_frames > len(layers)
        seconds = sum(duration for _, duration in frames) / 1000
        assert abs(len(list(at_rate(frames, 25.0))) - 25 * seconds) <= 1
