"""Auxiliary semantic heads: raw backbone features in, semantic logits out; in training only.

Their parameters exist in every checkpoint. `SemanticDecoder` serves COCO and ADE20K,
`SemanticHead` Cityscapes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d
from kmax_deeplab.modeling.layers import (
    ConvBN,
    Norm,
    corners_aligned,
    init_conv,
    resize_bilinear,
)

CHANNELS = 256
DILATIONS = (6, 12, 18)
LOW_LEVEL_CHANNELS = (64, 32)
"""Channels to which the features at strides 8 and 4 are projected."""


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (arXiv 1706.05587) with GELU.

    Args:
        in_channels: of the feature.
        norm: maker of the norms.
    """

    def __init__(self, in_channels: int, *, norm: Norm):
        super().__init__()
        act = {"norm": norm, "gelu": True}
        self.aspp_conv0 = ConvBN(in_channels, CHANNELS, **act)
        self.aspp_conv1 = ConvBN(in_channels, CHANNELS, 3, dilation=DILATIONS[0], **act)
        self.aspp_conv2 = ConvBN(in_channels, CHANNELS, 3, dilation=DILATIONS[1], **act)
        self.aspp_conv3 = ConvBN(in_channels, CHANNELS, 3, dilation=DILATIONS[2], **act)
        self.aspp_pool = ConvBN(in_channels, CHANNELS, **act)
        self.proj_conv_bn_act = ConvBN(5 * CHANNELS, CHANNELS, **act)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.aspp_pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        branches = [conv(x) for conv in (self.aspp_conv0, self.aspp_conv1)]
        branches += [conv(x) for conv in (self.aspp_conv2, self.aspp_conv3)]
        return self.dropout(self.proj_conv_bn_act(torch.cat([*branches, pooled], dim=1)))


class SemanticDecoder(nn.Module):
    """ASPP on the coarsest feature, then fusion with the features at strides 8 and 4.

    Args:
        in_channels: of the features at strides 32, 8 and 4.
        num_classes: K, without void; the output has K + 1 channels.
        norm: maker of the norms.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, *, norm: Norm):
        super().__init__()
        act = {"norm": norm, "gelu": True}
        os8, os4 = LOW_LEVEL_CHANNELS
        wide8, wide4 = CHANNELS + os8, CHANNELS + os4
        self.aspp = ASPP(in_channels[0], norm=norm)
        self.low_level_projection_os8 = ConvBN(in_channels[1], os8, **act)
        self.low_level_fusion_os8_conv0_bn_act = ConvBN(
            wide8, wide8, 5, kind=DepthwiseConv2d, **act
        )
        self.low_level_fusion_os8_conv1_bn_act = ConvBN(wide8, CHANNELS, **act)
        self.low_level_projection_os4 = ConvBN(in_channels[2], os4, **act)
        self.low_level_fusion_os4_conv0_bn_act = ConvBN(
            wide4, wide4, 5, kind=DepthwiseConv2d, **act
        )
        self.low_level_fusion_os4_conv1_bn_act = ConvBN(wide4, CHANNELS, **act)
        self.conv_block_0 = ConvBN(CHANNELS, CHANNELS, 5, kind=DepthwiseConv2d, **act)
        self.conv_block_1 = ConvBN(CHANNELS, CHANNELS, **act)
        self.final_conv = ConvBN(CHANNELS, num_classes + 1, norm=None, bias=True)
        init_conv(self.final_conv.conv, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps features at strides 32, 8 and 4 to logits (B, K + 1, H, W) at stride 4."""
        coarse, os8, os4 = features
        aligned = corners_aligned(coarse)  # decided once: part of the released function
        x = _fuse(self.aspp(coarse), self.low_level_projection_os8(os8), aligned)
        x = self.low_level_fusion_os8_conv1_bn_act(self.low_level_fusion_os8_conv0_bn_act(x))
        x = _fuse(x, self.low_level_projection_os4(os4), aligned)
        x = self.low_level_fusion_os4_conv1_bn_act(self.low_level_fusion_os4_conv0_bn_act(x))
        return self.final_conv(self.conv_block_1(self.conv_block_0(x)))


def _fuse(coarse: Tensor, fine: Tensor, align_corners: bool) -> Tensor:
    return torch.cat([resize_bilinear(coarse, fine.shape[-2:], align_corners), fine], dim=1)


class SemanticHead(nn.Sequential):
    """Depthwise 5x5, 1x1 and a classifier on the coarsest feature; its output has no void.

    Args:
        in_channels: of the features at strides 32, 8 and 4, of which the first is used.
        num_classes: K.
        norm: maker of the norms.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, *, norm: Norm):
        channels = in_channels[0]
        super().__init__(
            ConvBN(channels, channels, 5, norm=norm, gelu=True, kind=DepthwiseConv2d),
            ConvBN(channels, CHANNELS, norm=norm, gelu=True),
            ConvBN(CHANNELS, num_classes, norm=None, bias=True),
        )
        init_conv(self[-1].conv, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps the coarsest feature to logits (B, K, h, w) at its own stride."""
        return super().forward(features[0])
