"""MaX-S, the axial ResNet-50 with GELU of MaX-DeepLab (arXiv 2012.00759): image in, features out.

A ResNet whose later blocks replace the 3x3 convolution with axial attention. Its blocks activate on
entry, so that the features are not activated.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from kmax_deeplab.modeling.backbone import STRIDES, Backbone
from kmax_deeplab.modeling.layers import ConvBN, Norm
from kmax_deeplab.modeling.recomputation import Recomputing
from kmax_deeplab.modeling.residual_blocks import EXPANSION, AxialBlock, BottleneckBlock


class Stem(nn.Sequential):
    """Three 3x3 convolutions, the first with stride 2, the last without activation.

    Args:
        channels: of the first two; the third has twice as many.
        norm: maker of the norms.
    """

    def __init__(self, channels: int, *, norm: Norm):
        super().__init__()
        self.conv1_bn_act = ConvBN(3, channels, 3, norm=norm, gelu=True, stride=2)
        self.conv2_bn_act = ConvBN(channels, channels, 3, norm=norm, gelu=True)
        self.conv3_bn = ConvBN(channels, 2 * channels, 3, norm=norm)


class AxialResNet(Recomputing, Backbone):
    """Features "stem" (stride 2) and "res2" to "res5" (strides 4 to 32) of an image.

    Args:
        depths: blocks of each of the four stages.
        axial_depths: how many of them, the last ones, attend along the axes.
        stem_channels: c of the stem, which has 2c output channels; stage i has 4c * 2^i.
        drop_path: drop probability of every block, in order.
        norm: maker of the norms.
        out_features: the features that are returned; None: all.

    Raises:
        ValueError: the lists do not fit each other, or there are no such features.
    """

    def __init__(
        self,
        depths: Sequence[int],
        axial_depths: Sequence[int],
        *,
        stem_channels: int,
        drop_path: Sequence[float],
        norm: Norm,
        out_features: Sequence[str] | None = None,
    ):
        super().__init__()
        _check_depths(depths, axial_depths, drop_path)
        self.stem = Stem(stem_channels, norm=norm)
        found = {"stem": 2 * stem_channels}
        channels, rates = 2 * stem_channels, iter(drop_path)
        for index, (depth, axial) in enumerate(zip(depths, axial_depths, strict=True)):
            kinds = [BottleneckBlock] * (depth - axial) + [AxialBlock] * axial
            base = stem_channels * 2**index
            stage = nn.Sequential()
            for position, kind in enumerate(kinds):
                stride = 2 if position == 0 else 1
                stage.append(kind(channels, base, norm=norm, drop_path=next(rates), stride=stride))
                channels = EXPANSION * base
            name = f"res{index + 2}"
            self.add_module(name, stage)
            found[name] = channels
        self._choose(out_features, found)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the chosen features, unactivated.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            the feature of each name in `STRIDES`, (B, channels, ceil(H / s), ceil(W / s)).
        """
        x = self.run(self.stem, image)
        features = {"stem": x}
        for name in list(STRIDES)[1:]:
            for block in self.get_submodule(name):
                x = self.run(block, x)
            features[name] = x
        return self._chosen(features)


def _check_depths(
    depths: Sequence[int], axial_depths: Sequence[int], drop_path: Sequence[float]
) -> None:
    stages = len(STRIDES) - 1
    fits = len(depths) == len(axial_depths) == stages
    if not fits or any(axial > depth for axial, depth in zip(axial_depths, depths, strict=True)):
        raise ValueError(
            f"an axial ResNet has {stages} stages with at most as many axial blocks as blocks, "
            f"not {list(depths)} blocks of which {list(axial_depths)} are axial"
        )
    if len(drop_path) != sum(depths):
        raise ValueError(
            f"{len(drop_path)} drop-path probabilities were given for {sum(depths)} blocks"
        )
