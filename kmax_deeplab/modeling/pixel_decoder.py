"""Pixel decoder: backbone features in, features at output strides 32, 16, 8, 4 (and 2) out.

Stages of residual blocks, axial attention at the coarse ones, each fusing the next finer backbone
feature (paper section 3.2, "Meta architecture").
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.layers import ChannelLayerNorm, ConvBN, Norm, resize_bilinear
from kmax_deeplab.modeling.recomputation import Recomputing
from kmax_deeplab.modeling.residual_blocks import BLOCKS, EXPANSION


class Stage(Recomputing):
    """Residual blocks of one resolution."""

    def __init__(
        self, kind: str, depth: int, in_channels: int, base_channels: int, **settings: object
    ):
        super().__init__()
        if kind not in BLOCKS:
            raise ValueError(
                f"unknown block {kind!r} in PIXEL_DEC.LAYER_TYPES; choose from {sorted(BLOCKS)}"
            )
        inputs = [in_channels] + [EXPANSION * base_channels] * (depth - 1)
        self.blocks = nn.Sequential(*(BLOCKS[kind](c, base_channels, **settings) for c in inputs))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.run(block, x)
        return x


class ResizedFuse(nn.Module):
    """Adds a coarse feature, resized, to a fine one, both projected where their channels differ.

    Args:
        low_channels: of the coarse feature.
        high_channels: of the fine feature.
        out_channels: of the sum.
        norm: maker of the norms.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int, *, norm: Norm):
        super().__init__()
        self.conv_bn_low = _projection(low_channels, out_channels, norm)
        self.conv_bn_high = _projection(high_channels, out_channels, norm)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        low = self.conv_bn_low(F.gelu(low)) if self.conv_bn_low else low
        high = self.conv_bn_high(F.gelu(high)) if self.conv_bn_high else high
        return resize_bilinear(low, high.shape[-2:]) + high


def _projection(in_channels: int, out_channels: int, norm: Norm) -> ConvBN | None:
    return ConvBN(in_channels, out_channels, norm=norm) if in_channels != out_channels else None


class PixelDecoder(Recomputing):
    """Decodes backbone features, coarse to fine.

    Args:
        in_channels: of each input feature, coarse to fine.
        base_channels: c of each stage; its output has 4c channels.
        depths: residual blocks of each stage.
        block_kinds: "axial" or "bottleneck" for each stage.
        norm: maker of the norms.
        drop_path: drop probability of the residual branches.
        bottleneck_dilation: of the 3x3 convolution of bottleneck blocks.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        base_channels: Sequence[int],
        *,
        depths: Sequence[int],
        block_kinds: Sequence[str],
        norm: Norm,
        drop_path: float = 0.0,
        bottleneck_dilation: int = 1,
    ):
        super().__init__()
        self.in_norms = nn.ModuleList(ChannelLayerNorm(c) for c in in_channels)
        self.stages = nn.ModuleList()
        self.resized_fuses = nn.ModuleList()
        self.out_channels = [EXPANSION * c for c in base_channels]
        settings = {kind: {"norm": norm, "drop_path": drop_path} for kind in block_kinds}
        settings.setdefault("bottleneck", {})["dilation"] = bottleneck_dilation
        rows = zip(in_channels, base_channels, depths, block_kinds, strict=True)
        for index, (channels, base, depth, kind) in enumerate(rows):
            if index > 0:
                previous = self.out_channels[index - 1]
                self.resized_fuses.append(ResizedFuse(previous, channels, base, norm=norm))
                channels = base
            self.stages.append(Stage(kind, depth, channels, base, **settings[kind]))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Decodes all stages.

        Args:
            features: (B, C_i, H_i, W_i) each, coarse to fine.

        Returns:
            one (B, 4 c_i, H_i, W_i) per stage, coarse to fine.
        """
        normed = [norm(x) for norm, x in zip(self.in_norms, features, strict=True)]
        outputs = [self.stages[0](normed[0])]
        for fuse, stage, high in zip(self.resized_fuses, self.stages[1:], normed[1:], strict=True):
            outputs.append(stage(self.run(fuse, outputs[-1], high)))
        return outputs
