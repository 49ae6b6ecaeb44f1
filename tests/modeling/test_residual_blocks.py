"""Residual blocks: activation on entry, dilation, stride."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.axial_attention import AxialAttention
from kmax_deeplab.modeling.layers import ConvBN, make_norm
from kmax_deeplab.modeling.pixel_decoder import PixelDecoder
from kmax_deeplab.modeling.residual_blocks import AxialBlock, BottleneckBlock

SETTINGS = {"norm": make_norm(), "drop_path": 0.0}


def awaken(module: nn.Module) -> nn.Module:
    """Gives norms scales and shifts other than 0 and 1."""
    for name, parameter in module.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return module.eval()


def pass_on(brick: ConvBN, value: float) -> None:
    """Makes a brick of one channel multiply the pixel itself, and nothing else, by `value`."""
    nn.init.zeros_(brick.conv.weight)
    middle = brick.conv.kernel_size[0] // 2
    brick.conv.weight.data[..., middle, middle] = value * 1.001**0.5  # of the norm's epsilon


@torch.no_grad()
def test_a_block_activates_what_enters_and_not_what_leaves():
    block = BottleneckBlock(4, 1, **SETTINGS).eval()
    nn.init.zeros_(block.conv3_bn.norm.weight)  # the residual is its shift alone
    nn.init.constant_(block.conv3_bn.norm.bias, -5.0)
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(block(x), F.gelu(x) - 5.0)


@torch.no_grad()
def test_a_bottleneck_adds_its_residual_to_its_projected_shortcut():
    block = BottleneckBlock(1, 1, **SETTINGS).eval()
    for brick, value in ((block.conv1_bn_act, 2.0), (block.conv2_bn_act, 3.0)):
        pass_on(brick, value)
    for brick, value in ((block.conv3_bn, 5.0), (block.shortcut, 7.0)):
        pass_on(brick, value)
        nn.init.ones_(brick.norm.weight)
    x = torch.tensor(1.5).view(1, 1, 1, 1)
    entered = F.gelu(x)
    residual = 5 * F.gelu(3 * F.gelu(2 * entered))
    torch.testing.assert_close(block(x), (residual + 7 * entered).expand(1, 4, 1, 1))


@torch.no_grad()
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_pixel_reaches_as_far_as_the_dilation(dilation):
    block = awaken(BottleneckBlock(4, 4, dilation=dilation, **SETTINGS))
    x = torch.zeros(1, 4, 9, 9)
    reached = block(x)
    x[..., 4, 4] = 1.0
    changed = (block(x) != reached).any(1)[0]
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[4 - dilation : 5 + dilation : dilation, 4 - dilation : 5 + dilation : dilation] = True
    assert torch.equal(changed, expected)


@pytest.mark.parametrize("dilation", [1, 2])
def test_the_pixel_decoder_dilates_its_bottlenecks_as_told(dilation):
    decoder = PixelDecoder(
        [8, 8, 8, 8],
        [8, 4, 2, 1],
        depths=[1, 1, 1, 1],
        block_kinds=["axial", "axial", "bottleneck", "bottleneck"],
        norm=make_norm(),
        bottleneck_dilation=dilation,
    )
    middles = [m for m in decoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.dilation for m in middles] == [(dilation, dilation)] * 2
    assert [m.padding for m in middles] == [(dilation, dilation)] * 2


def _attend_with_stride_slowly(attention: AxialAttention, x: Tensor) -> Tensor:
    """Columns one by one at full resolution, every second row, these rows, every second column."""
    columns = [attention.height_axis(column, axis=2) for column in x.split(1, dim=3)]
    x = torch.cat(columns, dim=3)
    rows = [attention.width_axis(row, axis=3) for row in x.split(1, dim=2)[::2]]
    return torch.cat(rows, dim=2)[..., ::2]


@torch.no_grad()
@pytest.mark.parametrize("size", [(5, 7), (4, 6)])
def test_strided_attention_sees_all_rows_and_keeps_every_second_of_them(size):
    torch.manual_seed(0)
    attention = awaken(AxialAttention(16, norm=make_norm(), stride=2))
    x = torch.randn(2, 16, *size)
    torch.testing.assert_close(attention(x), _attend_with_stride_slowly(attention, x))


@torch.no_grad()
@pytest.mark.parametrize("kind", [BottleneckBlock, AxialBlock])
def test_a_strided_block_halves_residual_and_shortcut_even_if_channels_stay(kind):
    block = awaken(kind(32, 8, stride=2, **SETTINGS))
    x = torch.randn(1, 32, 5, 7)
    out = block(x)
    assert out.shape == (1, 32, 3, 4)
    shortcut = block.shortcut.norm(F.conv2d(F.gelu(x)[..., ::2, ::2], block.shortcut.conv.weight))
    residual = block.conv3_bn(block.middle(block.conv1_bn_act(F.gelu(x))))
    torch.testing.assert_close(out, shortcut + residual)
