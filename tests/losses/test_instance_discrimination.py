"""Instance discrimination by hand, and its gradient against automatic differentiation."""

import math

import pytest
import torch
import torch.nn.functional as F

from kmax_deeplab.losses import instance_discrimination
from kmax_deeplab.losses.instance_discrimination import (
    SimilarityLogSumExp,
    instance_discrimination_loss,
)
from kmax_deeplab.structures import VOID, Supervision


def supervision_of(query_map: list[list[int]], queries: int = 3) -> Supervision:
    owners = torch.tensor(query_map)
    coverage = (owners >= 0).sum(0).float()
    unused = torch.zeros(queries)
    return Supervision(owners, coverage, coverage, unused.long(), unused, unused)


def test_two_segments_of_opposite_features_by_hand():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    supervision = supervision_of([[0, 0, 2, VOID]])
    loss = instance_discrimination_loss(features, supervision, torch.arange(4))
    near, far = math.exp(1 / 0.3), math.exp(-1 / 0.3)
    twin = math.log(2 * near + far + 1) - 1 / 0.3  # the void pixel repels with exp(0)
    alone = math.log(near + 2 * far + 1) - 1 / 0.3
    torch.testing.assert_close(loss, torch.tensor((2 * twin + alone) / 3))


def test_only_the_sampled_pixels_matter():
    features = torch.randn(3, 4)
    pixels = torch.tensor([5, 0, 3])
    loss = instance_discrimination_loss(features, supervision_of([[1, 9, 9, 2, 9, 1]]), pixels)
    alone = instance_discrimination_loss(features, supervision_of([[1, 1, 2]]), torch.arange(3))
    torch.testing.assert_close(loss, alone)


def test_void_pixels_alone_have_neither_loss_nor_gradient():
    features = torch.randn(3, 4, requires_grad=True)
    loss = instance_discrimination_loss(features, supervision_of([[VOID] * 3]), torch.arange(3))
    loss.backward()
    assert loss == 0
    assert not features.grad.any()


@pytest.mark.parametrize("tile", [2, 3, 8, 100])
def test_tiles_change_neither_value_nor_gradient(tile, monkeypatch):
    monkeypatch.setattr(instance_discrimination, "TILE", tile)
    features = torch.randn(8, 3, dtype=torch.double, requires_grad=True)
    weights = torch.rand(8, dtype=torch.double)
    value = SimilarityLogSumExp.apply(features, weights, 0.3)
    want = weights @ (features @ features.t() / 0.3).logsumexp(1)
    torch.testing.assert_close(value, want)
    assert torch.autograd.gradcheck(lambda x: SimilarityLogSumExp.apply(x, weights, 0.3), features)


def test_float32_is_exact_for_thousands_of_pixels():
    features = F.normalize(torch.randn(1500, 32), dim=1)
    exact = features.double().requires_grad_()
    weights = torch.rand(1500) / 1500
    features.requires_grad_()
    value = SimilarityLogSumExp.apply(features, weights, 0.3)
    want = weights.double() @ (exact @ exact.t() / 0.3).logsumexp(1)
    value.backward()
    want.backward()
    torch.testing.assert_close(value.double(), want, rtol=1e-6, atol=0)
    assert (features.grad - exact.grad).norm() < 1e-6 * exact.grad.norm()
