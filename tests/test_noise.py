"""Numbers that follow from seeds: their distribution, and what they do not depend on."""

import torch

from kmax_deeplab.noise import DROP_PATH, INSTANCE_PIXELS, uniform


def test_an_image_has_the_same_numbers_in_every_batch():
    seeds = torch.tensor([5, 2**32 - 1, 0])
    together = uniform(seeds, DROP_PATH, (4, 6))
    for i, seed in enumerate(seeds):
        assert torch.equal(uniform(seed[None], DROP_PATH, (4, 6))[0], together[i])


def test_the_numbers_of_an_image_are_uniform_and_of_every_image_others():
    draws = uniform(torch.arange(64), INSTANCE_PIXELS, (4096,))
    assert draws.min() > 0 and draws.max() < 1
    torch.testing.assert_close(draws.mean(1), torch.full((64,), 0.5), rtol=0, atol=0.025)
    torch.testing.assert_close(draws.var(1), torch.full((64,), 1 / 12), rtol=0, atol=0.006)
    correlation = torch.corrcoef(draws) - torch.eye(64)
    assert correlation.abs().max() < 0.08  # of 4096 independent numbers: 5 standard deviations
    assert torch.corrcoef(draws.T[:64])[0, 1:].abs().max() < 0.5
    counts = draws.flatten().mul(16).long().bincount(minlength=16)
    torch.testing.assert_close(counts / counts.sum(), torch.full((16,), 1 / 16), rtol=0.02, atol=0)


def test_streams_draw_apart():
    seeds = torch.arange(3)
    first, second = (uniform(seeds, stream, (2000,)) for stream in (DROP_PATH, INSTANCE_PIXELS))
    correlations = [
        torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(first, second, strict=True)
    ]
    assert all(abs(c) < 0.1 for c in correlations)


def test_small_numbers_are_told_apart():
    draws = uniform(torch.tensor([1]), DROP_PATH, (2**20,)).flatten()
    small = draws[draws < 2**-12]
    assert len(small) > 150 and len(small.unique()) == len(small)
