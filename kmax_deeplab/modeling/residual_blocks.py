"""Residual blocks that activate on entry: a feature map in, an unactivated one out.

The pixel decoder is made of them.
"""

import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from kmax_deeplab.modeling.axial_attention import AxialAttention
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
    """

    def __init__(
        self, in_channels: int, base_channels: int, *, width: int, norm: Norm, drop_path: float
    ):
        super().__init__()
        out_channels = EXPANSION * base_channels
        self.conv1_bn_act = ConvBN(in_channels, width, norm=norm, gelu=True)
        self.conv3_bn = zero_init(ConvBN(width, out_channels, norm=norm))
        self.shortcut = (
            ConvBN(in_channels, out_channels, norm=norm)
            if in_channels != out_channels
            else nn.Identity()
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(x)
        residual = self.conv3_bn(self.middle(self.conv1_bn_act(x)))
        return self.shortcut(x) + self.drop_path(residual)

    def middle(self, x: Tensor) -> Tensor:
        """Mixes positions of (B, width, H, W)."""
        raise NotImplementedError


class BottleneckBlock(ResidualBlock):
    """Residual block whose middle is a 3x3 convolution; 2 more arguments as in `ResidualBlock`."""

    def __init__(self, in_channels: int, base_channels: int, *, norm: Norm, drop_path: float):
        super().__init__(
            in_channels, base_channels, width=base_channels, norm=norm, drop_path=drop_path
        )
        self.conv2_bn_act = ConvBN(base_channels, base_channels, 3, norm=norm, gelu=True)

    def middle(self, x: Tensor) -> Tensor:
        return self.conv2_bn_act(x)


class AxialBlock(ResidualBlock):
    """Residual block whose middle is axial attention."""

    def __init__(self, in_channels: int, base_channels: int, *, norm: Norm, drop_path: float):
        width = 2 * base_channels
        super().__init__(in_channels, base_channels, width=width, norm=norm, drop_path=drop_path)
        self.attention = AxialAttention(width, norm=norm)

    def middle(self, x: Tensor) -> Tensor:
        return F.gelu(self.attention(x))


BLOCKS = {"axial": AxialBlock, "bottleneck": BottleneckBlock}
