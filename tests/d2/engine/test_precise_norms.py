"""Averaged statistics are those of all images together."""

import torch
from torch import nn

from kmax_deeplab.d2.engine.precise_norms import average_statistics
from kmax_deeplab.modeling.layers import LocalBatchNorm


def test_the_statistics_are_those_of_all_batches_together():
    norm, frozen = LocalBatchNorm(3, momentum=0.1), LocalBatchNorm(3).eval()
    model = nn.Sequential(norm, frozen)
    batches = [(i + 1) * torch.randn(400, 3) + i for i in range(4)]
    average_statistics(model, iter(batches))
    every = torch.cat(batches)
    torch.testing.assert_close(norm.running_mean, every.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, every.var(0), rtol=5e-3, atol=0)
    assert norm.momentum == 0.1 and not frozen.running_mean.any()
