"""The head: which features the auxiliary semantic head sees."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.head import KMaXHead
from kmax_deeplab.modeling.layers import get_activation


class Decoder(nn.Module):
    """A decoder of either kind that returns its input and keeps the semantic head's."""

    def __init__(self):
        super().__init__()
        self.auxiliary_semantic_predictor = self.keep
        self.seen: list[Tensor] = []

    def keep(self, features: list[Tensor]) -> Tensor:
        self.seen = features
        return features[0]

    def forward(self, features: list[Tensor], *_: Tensor) -> list[Tensor]:
        return features


def semantic_inputs(activation: str) -> tuple[list[Tensor], list[Tensor]]:
    """Four features, coarse to fine, and what the semantic head sees of them."""
    features = {name: torch.randn(1, 2, 3, 3) for name in ("res5", "res4", "res3", "res2")}
    decoder = Decoder()
    head = KMaXHead(
        list(features), Decoder(), decoder, low_level_activation=get_activation(activation)
    )
    head.train()(features)
    return list(features.values()), decoder.seen


def test_by_default_it_sees_raw_features():
    features, seen = semantic_inputs("none")
    assert all(torch.equal(a, features[i]) for a, i in zip(seen, (0, 2, 3), strict=True))


def test_only_the_low_level_features_are_activated():
    features, seen = semantic_inputs("gelu")
    expected = [features[0], F.gelu(features[2]), F.gelu(features[3])]
    torch.testing.assert_close(seen, expected)
