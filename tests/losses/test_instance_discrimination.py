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
from kmax_deeplab.structures import VOID


def loss_of(features: torch.Tensor, query_map: list[list[int]], queries: int = 3) -> torch.Tensor:
    """The loss of one image's sampled features (S, C)."""
    [loss] = instance_discrimination_loss(features[None], torch.tensor([query_map]), queries)
    return loss


def test_two_segments_of_opposite_features_by_hand():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    loss = loss_of(features, [[0, 0, 2, VOID]])
    near, far = math.exp(1 / 0.3), math.exp(-1 / 0.3)
    twin = math.log(2 * near + far + 1) - 1 / 0.3  # the void pixel repels with exp(0)
    alone = math.log(near + 2 * far + 1) - 1 / 0.3
    torch.testing.assert_close(loss, torch.tensor((2 * twin + alone) / 3))


def test_images_of_a_batch_have_nothing_to_do_with_each_other():
    features, maps = torch.randn(3, 5, 4), torch.randint(-1, 3, (3, 2, 5))
    together = instance_discrimination_loss(features, maps, 3)
    alone = [loss_of(f, m.tolist()) for f, m in zip(features, maps, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_void_pixels_alone_have_neither_loss_nor_gradient():
    features = torch.randn(3, 4, requires_grad=True)
    loss = loss_of(features, [[VOID] * 3])
    loss.backward()
    assert loss == 0
    assert not features.grad.any()


@pytest.mark.parametrize("tile", [0, 2, 3, 8, 100])
@pytest.mark.parametrize("most", [1, 10**6])
def test_tiles_and_chunks_change_neither_value_nor_gradient(tile, most, monkeypatch):
    monkeypatch.setattr(instance_discrimination, "TILE", tile)
    monkeypatch.setattr(instance_discrimination, "MOST_VALUES", most)
    features = torch.randn(2, 8, 3, dtype=torch.double, requires_grad=True)
    weights = torch.rand(2, 8, dtype=torch.double)
    value = SimilarityLogSumExp.apply(features, weights, 0.3)
    want = (weights * (features @ features.transpose(1, 2) / 0.3).logsumexp(2)).sum(1)
    torch.testing.assert_close(value, want)
    assert torch.autograd.gradcheck(lambda x: SimilarityLogSumExp.apply(x, weights, 0.3), features)


def test_float32_is_exact_for_thousands_of_pixels():
    features = F.normalize(torch.randn(1, 1500, 32), dim=2)
    exact = features.double().requires_grad_()
    weights = torch.rand(1, 1500) / 1500
    features.requires_grad_()
    value = SimilarityLogSumExp.apply(features, weights, 0.3)
    similarity = exact @ exact.transpose(1, 2) / 0.3
    want = (weights.double() * similarity.logsumexp(2)).sum(1)
    value.sum().backward()
    want.sum().backward()
    torch.testing.assert_close(value.double(), want, rtol=1e-6, atol=0)
    assert (features.grad - exact.grad).norm() < 1e-6 * exact.grad.norm()
