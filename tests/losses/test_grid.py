"""Sampling: which pixels are drawn, and that reading a few equals resizing all."""

import pytest
import torch

from kmax_deeplab.losses import grid
from kmax_deeplab.losses.grid import aligns_corners, resize_logits, sample_bilinear
from kmax_deeplab.losses.mask_probabilities import resize_back_by_products
from kmax_deeplab.noise import INSTANCE_PIXELS


def sample_pixels(inverse_area, is_void, seed=0, **settings):
    """Draws pixels of one image."""
    drawn = {"seeds": torch.tensor([seed]), "stream": INSTANCE_PIXELS}
    return grid.sample_pixels(inverse_area[None], is_void[None], **drawn, **settings)[0]


@pytest.mark.parametrize("grid", [(9, 13), (8, 13), (9, 12), (8, 8), (1, 1)])
@pytest.mark.parametrize("source", [(3, 4), (5, 5), (1, 1), (8, 8)])
@pytest.mark.parametrize("deterministic", [False, True])
def test_sampled_features_are_those_of_the_resized_map(source, grid, deterministic):
    torch.use_deterministic_algorithms(deterministic)
    features = torch.randn(2, 3, 4, *source, dtype=torch.double, requires_grad=True)
    count = min(grid[0] * grid[1], 40)
    pixels = torch.stack([torch.randperm(grid[0] * grid[1])[:count] for _ in range(6)]).view(
        2, 3, -1
    )
    sampled = sample_bilinear([features[:1], features[1:]], pixels, grid)
    resized = resize_logits(features, grid)  # (2, 3, 4, P)
    resized = resized.gather(3, pixels[:, :, None].expand(-1, -1, 4, -1)).transpose(2, 3)
    torch.testing.assert_close(sampled, resized)
    weight = torch.randn_like(sampled)
    torch.testing.assert_close(
        torch.autograd.grad((sampled * weight).sum(), features),
        torch.autograd.grad((resized * weight).sum(), features),
    )
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("grid", [(9, 13), (8, 13), (8, 8)])
def test_the_gradient_of_a_resize_is_two_products(grid):
    logits = torch.randn(2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    resized = resize_logits(logits, grid).view(2, 3, *grid)
    weight = torch.randn_like(resized)
    (expected,) = torch.autograd.grad((resized * weight).sum(), logits)
    found = resize_back_by_products(weight, (4, 5), aligns_corners(grid))
    torch.testing.assert_close(found, expected)


def test_the_height_resized_to_decides_whether_corners_align():
    ramp = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    odd, even = resize_logits(ramp, (3, 4)), resize_logits(ramp, (4, 4))
    torch.testing.assert_close(odd[0, :4], torch.tensor([0, 1 / 3, 2 / 3, 1]))
    torch.testing.assert_close(even[0, :4], torch.tensor([0, 0.25, 0.75, 1]))


def test_void_pixels_are_drawn_only_when_labelled_ones_run_out():
    is_void = torch.arange(50) % 5 > 0
    inverse_area = torch.where(is_void, 50.0, 5.0)
    few = sample_pixels(inverse_area, is_void, samples=10, temperature=1.5)
    more = sample_pixels(inverse_area, is_void, samples=12, temperature=1.5)
    assert sorted(few.tolist()) == (~is_void).nonzero().flatten().tolist()
    assert set(few.tolist()) < set(more.tolist())


def test_more_samples_than_pixels_mean_every_pixel_once():
    pixels = sample_pixels(torch.ones(7), torch.zeros(7).bool(), samples=99, temperature=1.0)
    assert sorted(pixels.tolist()) == list(range(7))


def test_pixels_are_drawn_in_proportion_to_a_power_of_the_inverse_area():
    inverse_area = torch.tensor([1.0, 2.0, 4.0])
    draws = [
        sample_pixels(inverse_area, torch.zeros(3).bool(), seed, samples=1, temperature=2.0)
        for seed in range(4000)
    ]
    frequency = torch.cat(draws).bincount(minlength=3) / 4000
    torch.testing.assert_close(frequency, torch.tensor([1, 4, 16]) / 21, rtol=0, atol=0.03)
