"""Residual blocks that activate on entry: a feature map in, an unactivated one out.

The pixel decoder and the axial ResNet are made of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.axial_attention import AxialAttention
from kmax_deeplab.modeling.drop_path import DropPath
from kmax_deeplab.modeling.layers import ConvBN, Norm, zero_init

EXPANSION = 4
"""Output channels of a block per base channel."""


class ResidualBlock(nn.Module):
    """GELU, 1x1, a middle that mixes space, 1x1, added to the shortcut; no activation after it.

    Args:
        in_channels: of the input.
        base_channels: c; the output has 4c.
        width: channels between the two 1x1 convolutions.
        norm: maker of the norms.
        drop_path: drop probability of the residual branch.
        stride: of the shortcut; the middle has the same.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        *,
        width: int,
        norm: Norm,
        drop_path: float,
        stride: int = 1,
    ):
        super().__init__()
        out_channels = EXPANSION * base_channels
        self.conv1_bn_act = ConvBN(in_channels, width, norm=norm, gelu=True)
        self.conv3_bn = zero_init(ConvBN(width, out_channels, norm=norm))
        self.shortcut = (
            ConvBN(in_channels, out_channels, norm=norm, stride=stride)
            if in_channels != out_channels or stride != 1
            else nn.Identity()
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(x)
        residual = self.drop_path(self.conv3_bn(self.middle(self.conv1_bn_act(x))))
        x = self.shortcut(x)
        return x + residual if torch.is_grad_enabled() else x.add_(residual)

    def middle(self, x: Tensor) -> Tensor:
        """Mixes positions of (B, width, H, W), to (B, width, H / stride, W / stride)."""
        raise NotImplementedError


class BottleneckBlock(ResidualBlock):
    """Residual block whose middle is a 3x3 convolution.

    Args:
        dilation: of the 3x3 convolution; the others as in `ResidualBlock`, whose width is c.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        *,
        norm: Norm,
        dilation: int = 1,
        stride: int = 1,
        **settings: object,
    ):
        width = base_channels
        super().__init__(
            in_channels, base_channels, width=width, norm=norm, stride=stride, **settings
        )
        self.conv2_bn_act = ConvBN(
            width, width, 3, norm=norm, gelu=True, dilation=dilation, stride=stride
        )

    def middle(self, x: Tensor) -> Tensor:
        return self.conv2_bn_act(x)


class AxialBlock(ResidualBlock):
    """Residual block whose middle is axial attention; its width is 2c."""

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        *,
        norm: Norm,
        stride: int = 1,
        **settings: object,
    ):
        width = 2 * base_channels
        super().__init__(
            in_channels, base_channels, width=width, norm=norm, stride=stride, **settings
        )
        self.attention = AxialAttention(width, norm=norm, stride=stride)

    def middle(self, x: Tensor) -> Tensor:
        return F.gelu(self.attention(x))


BLOCKS = {"axial": AxialBlock, "bottleneck": BottleneckBlock}
