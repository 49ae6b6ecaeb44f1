"""ConvNeXt's sizes and drop-path schedule."""

import pytest
import torch

from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.drop_path import DropPath


@pytest.mark.parametrize("side", [65, 97, 64])
def test_features_have_one_row_more_than_the_strides_of_a_32k_plus_1_input(side):
    net = ConvNeXt([1, 1, 1, 1], [4, 8, 12, 16])
    features = net(torch.zeros(1, 3, side, side))
    strides = {"stem": 4, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
    odd = side % 32
    assert {k: v.shape[-1] for k, v in features.items()} == {
        name: side // stride + odd for name, stride in strides.items()
    }


def test_drop_path_grows_linearly_over_all_blocks():
    net = ConvNeXt([1, 1, 2, 1], [4, 8, 12, 16], drop_path_rate=0.4)
    rates = [m.drop_prob for m in net.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
