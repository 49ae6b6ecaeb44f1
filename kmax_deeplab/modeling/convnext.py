"""ConvNeXt (arXiv 2201.03545) as a k-means transformer uses it: image in, strided features out.

Unlike timm's it pads so that 32k + 1 inputs give (32k / s) + 1 features, has no norm on its outputs
and names its parameters like the official and the released checkpoints.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.backbone import STRIDES, Backbone
from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d
from kmax_deeplab.modeling.drop_path import DropPath
from kmax_deeplab.modeling.initial import draw_normal
from kmax_deeplab.modeling.layers import ChannelLayerNorm
from kmax_deeplab.modeling.recomputation import Recomputing

INIT_STD = 0.02
"""Standard deviation of the truncated normal of all weights (ConvNeXt's own recipe)."""


class Block(nn.Module):
    """Depthwise 7x7, LayerNorm, inverted bottleneck, layer scale, drop path.

    Args:
        channels: of input and output.
        drop_path: probability that the residual branch is dropped for an image.
        layer_scale: initial value of `gamma`.
    """

    def __init__(self, channels: int, *, drop_path: float, layer_scale: float):
        super().__init__()
        self.dwconv = DepthwiseConv2d(channels, channels, 7, padding=3)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(x).permute(0, 2, 3, 1)  # (B, H, W, C)
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        y = (self.gamma * y).permute(0, 3, 1, 2)  # (B, C, H, W)
        return x + self.drop_path(y)


class ConvNeXt(Recomputing, Backbone):
    """Features "stem" and "res2" to "res5" of an image, at strides 4 and 4, 8, 16, 32.

    The stem declares stride 2: the order of the released features, stem last, rests on that.

    Args:
        depths: blocks of each of the four stages.
        dims: channels of each of the four stages.
        drop_path_rate: drop probability of the last block; it grows linearly from 0.
        layer_scale: initial layer scale; 1e-6 suits pretrained weights.
        out_features: the features that are returned; None: all.

    Raises:
        ValueError: there are not four stages, or no such features.
    """

    recomputes_little = False

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        *,
        drop_path_rate: float = 0.0,
        layer_scale: float = 1e-6,
        out_features: Sequence[str] | None = None,
    ):
        super().__init__()
        if not len(depths) == len(dims) == 4:
            raise ValueError(
                f"a ConvNeXt has four stages, not {list(depths)} blocks of {list(dims)} channels"
            )
        self._choose(out_features, dict(zip(STRIDES, [dims[0], *dims], strict=True)))
        stem = nn.Sequential(nn.Conv2d(3, dims[0], 4, stride=4), ChannelLayerNorm(dims[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for wide, narrow in zip(dims[1:], dims, strict=False):
            self.downsample_layers.append(
                nn.Sequential(ChannelLayerNorm(narrow), nn.Conv2d(narrow, wide, 2, stride=2))
            )
        step = drop_path_rate / max(sum(depths) - 1, 1)
        rates = iter(index * step for index in range(sum(depths)))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Block(dim, drop_path=next(rates), layer_scale=layer_scale) for _ in range(depth))
            )
            for dim, depth in zip(dims, depths, strict=True)
        )
        self.apply(_init_weights)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the chosen features.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            of "stem", "res2" (stride 4), "res3" (8), "res4" (16), "res5" (32).
        """
        x = self.downsample_layers[0](F.pad(image, (1, 2, 1, 2)))
        features = {"stem": x}
        for index, stage in enumerate(self.stages):
            if index > 0:
                x = self.downsample_layers[index](F.pad(x, (0, 1, 0, 1)))
            for block in stage:
                x = self.run(block, x)
            features[f"res{index + 2}"] = x
        return self._chosen(features)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        draw_normal(module.weight, std=INIT_STD)
        nn.init.zeros_(module.bias)
