"""Folded norms: the same output from fewer steps, and nothing else changed."""

import pytest
import torch

from kmax_deeplab.modeling.axial_attention import AxialAttention
from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d
from kmax_deeplab.modeling.folding import fold_norms, folded_norms
from kmax_deeplab.modeling.layers import ConvBN, LocalBatchNorm, make_norm
from kmax_deeplab.modeling.resnet import NormedConv2d
from tests.modeling.test_residual_blocks import awaken

NORM = make_norm()
BRICKS = {
    "plain": lambda: ConvBN(16, 8, 3, norm=NORM, gelu=True),
    "with bias": lambda: ConvBN(16, 8, norm=NORM, bias=True),
    "depthwise": lambda: ConvBN(16, 16, 5, norm=NORM, kind=DepthwiseConv2d),
    "ResNet": lambda: NormedConv2d(16, 8, 3, norm=NORM, stride=2),
    "axial": lambda: AxialAttention(16, norm=NORM),
}


@pytest.fixture(params=BRICKS)
def brick(request):
    torch.manual_seed(0)
    brick = awaken(BRICKS[request.param]())
    for name, buffer in brick.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 2)
    return brick


@torch.no_grad()
def test_what_leaves_is_the_same_without_the_norm(brick):
    x = torch.randn(2, 16, 9, 7)
    expected, state = brick(x), {name: v.clone() for name, v in brick.state_dict().items()}
    parameters = list(brick.parameters())
    norms = [m for m in brick.modules() if isinstance(m, LocalBatchNorm)]
    with folded_norms(brick):
        assert len([m for m in brick.modules() if isinstance(m, LocalBatchNorm)]) < len(norms)
        torch.testing.assert_close(brick(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(brick.state_dict(), state, rtol=0, atol=0)
    assert all(a is b for a, b in zip(brick.parameters(), parameters, strict=True))
    fold_norms(brick)
    fold_norms(brick)  # nothing is left to fold
    torch.testing.assert_close(brick(x), expected, rtol=1e-5, atol=1e-5)
