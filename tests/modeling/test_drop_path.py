"""Stochastic depth: whole images, as often as asked for, by their seeds alone."""

import timm.layers
import torch
from torch import nn

from kmax_deeplab.modeling.drop_path import DropPath, draw_paths, replace_drop_paths

SEEDS = torch.arange(4000)


def test_branches_of_whole_images_are_dropped_and_the_others_scaled_up():
    layer = DropPath(0.25).train()
    draw_paths([layer], SEEDS)
    y = layer(torch.ones(4000, 2, 3))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert all(len(image.unique()) == 1 for image in y)
    assert abs(y.mean() - 1) < 0.03


def test_what_is_dropped_follows_from_the_seed_of_the_image_and_the_layer():
    layers = [DropPath(0.5).train() for _ in range(3)]
    draw_paths(layers, SEEDS)
    whole = torch.stack([layer(torch.ones(4000, 1)) for layer in layers])
    draw_paths(layers, SEEDS[1000:1002])
    assert torch.equal(
        torch.stack([layer(torch.ones(2, 1)) for layer in layers]), whole[:, 1000:1002]
    )
    assert not torch.equal(whole[0], whole[1])


def test_nothing_is_dropped_in_evaluation_and_every_residual_at_probability_one():
    x = torch.ones(5, 2)
    assert DropPath(0.5).eval()(x) is x
    assert not DropPath(1.0).train()(x).any()


def test_a_compiled_layer_takes_new_seeds_without_being_compiled_anew():
    layer = DropPath(0.5).train()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=False)
    for first in (0, 8, 16):
        draw_paths([layer], SEEDS[first : first + 8])
        with torch.compiler.set_stance("fail_on_recompile" if first > 0 else "default"):
            assert torch.equal(compiled(torch.ones(8, 2)), layer(torch.ones(8, 2)))


def test_those_of_timm_are_replaced():
    network = nn.Sequential(nn.Sequential(timm.layers.DropPath(0.3)), nn.Identity())
    replace_drop_paths(network)
    assert isinstance(network[0][0], DropPath) and network[0][0].drop_prob == 0.3
