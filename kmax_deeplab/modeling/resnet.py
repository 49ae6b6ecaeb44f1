"""ResNet (arXiv 1512.03385): image in, strided features out.

It has the form of the released models or that of TensorFlow's, whose stem does not pool and whose
blocks activate on entry instead of on exit. Parameters are named as in Detectron2.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.backbone import Backbone
from kmax_deeplab.modeling.layers import Norm
from kmax_deeplab.modeling.recomputation import Recomputing

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks of the four stages."""
BASIC = (18, 34)
"""Depths of networks whose blocks are no bottlenecks."""
STEM_CHANNELS, EXPANSION = 64, 4


class NormedConv2d(nn.Conv2d):
    """Convolution without bias, then a norm, whose parameters lie below the convolution's.

    Args:
        norm: maker of the norm; the other arguments are those of `nn.Conv2d`.
    """

    foldable = (("", "norm"),)

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, norm: Norm, **options: int
    ):
        padding = kernel_size // 2
        super().__init__(
            in_channels, out_channels, kernel_size, padding=padding, bias=False, **options
        )
        self.norm = norm(out_channels)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class Stem(nn.Module):
    """7x7 convolution with stride 2 and batch norm; ReLU and max-pool are optional.

    Args:
        norm: maker of the norm.
        activate: whether ReLU follows.
        pool: whether a 3x3 max-pool with stride 2 follows.
    """

    def __init__(self, *, norm: Norm, activate: bool, pool: bool):
        super().__init__()
        self.conv1 = NormedConv2d(3, STEM_CHANNELS, 7, stride=2, norm=norm)
        self.activate, self.pool = activate, pool

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv1(image)
        x = F.relu_(x) if self.activate else x
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1) if self.pool else x


class Block(nn.Module):
    """Residual block; subclasses have the branch.

    Args:
        in_channels: of the input.
        out_channels: of the output; another number has a projection as shortcut.
        stride: of the block.
        norm: maker of the norms.
        activate_on_entry: whether ReLU is applied to the input instead of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        norm: Norm,
        activate_on_entry: bool = False,
    ):
        super().__init__()
        self.activate_on_entry = activate_on_entry
        self.shortcut = (
            NormedConv2d(in_channels, out_channels, 1, stride=stride, norm=norm)
            if in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        x = F.relu(x) if self.activate_on_entry else x
        x = self.branch(x).add_(x if self.shortcut is None else self.shortcut(x))
        return x if self.activate_on_entry else F.relu_(x)

    def branch(self, x: Tensor) -> Tensor:
        """Computes what is added to the shortcut."""
        raise NotImplementedError


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, norm: Norm):
        super().__init__(in_channels, out_channels, stride, norm=norm)
        self.conv1 = NormedConv2d(in_channels, out_channels, 3, stride=stride, norm=norm)
        self.conv2 = NormedConv2d(out_channels, out_channels, 3, norm=norm)

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu_(self.conv1(x)))


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolution.

    Args:
        num_groups: of the 3x3 convolution.
        stride_in_1x1: whether the first convolution has the stride instead of the second.
        **options: see `Block`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        norm: Norm,
        num_groups: int = 1,
        stride_in_1x1: bool = False,
        **options: bool,
    ):
        super().__init__(in_channels, out_channels, stride, norm=norm, **options)
        width, first = out_channels // EXPANSION, stride if stride_in_1x1 else 1
        self.conv1 = NormedConv2d(in_channels, width, 1, stride=first, norm=norm)
        self.conv2 = NormedConv2d(
            width, width, 3, stride=stride // first, groups=num_groups, norm=norm
        )
        self.conv3 = NormedConv2d(width, out_channels, 1, norm=norm)

    def branch(self, x: Tensor) -> Tensor:
        return self.conv3(F.relu_(self.conv2(F.relu_(self.conv1(x)))))


class ResNet(Recomputing, Backbone):
    """Features "stem" and "res2" to "res5" of an image; "res2" has stride 4.

    Args:
        depth: 18, 34, 50, 101 or 152.
        norm: maker of the norms.
        out_features: the features that are returned; stages that none needs are not built.
        stem_pool: whether the stem ends in a max-pool (stride 4); otherwise res2 begins with stride
            2. False needs bottlenecks, as does `activate_on_entry`.
        activate_on_entry: see `Block`; the features are then not activated.
        **options: of the bottlenecks.

    Raises:
        ValueError: there is no such network.
    """

    _frozen = 0

    def __init__(
        self,
        depth: int,
        *,
        norm: Norm,
        out_features: Sequence[str] | None = None,
        stem_pool: bool = True,
        activate_on_entry: bool = False,
        **options: object,
    ):
        super().__init__()
        _check_form(depth, plain=stem_pool and not activate_on_entry, options=options)
        kind = BasicBlock if depth in BASIC else Bottleneck
        if kind is Bottleneck:
            options |= {"activate_on_entry": activate_on_entry}
        else:
            options = {}
        self.stem = Stem(norm=norm, activate=not activate_on_entry, pool=stem_pool)
        self.strides = {**self.strides, "stem": 4 if stem_pool else 2}
        channels, found = STEM_CHANNELS, {"stem": STEM_CHANNELS}
        for index in range(_stages_needed(out_features)):
            blocks, name = [], f"res{index + 2}"
            out_channels = STEM_CHANNELS * 2**index * (1 if kind is BasicBlock else EXPANSION)
            for position in range(DEPTHS[depth][index]):
                stride = 2 if position == 0 and (index > 0 or not stem_pool) else 1
                blocks.append(kind(channels, out_channels, stride, norm=norm, **options))
                channels = out_channels
            self.add_module(name, nn.Sequential(*blocks))
            found[name] = channels
        self.stage_names = [name for name in found if name != "stem"]
        self._choose(out_features, found)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the chosen features of an image (B, 3, H, W)."""
        x = self.stem(image)
        features = {"stem": x}
        for name in self.stage_names:
            x = self.run(self.get_submodule(name), x)
            features[name] = x
        return self._chosen(features)

    def freeze(self, freeze_at: int) -> "ResNet":
        """Freezes parameters and statistics of the stem (1), and of the stages up to res2 (2), …

        Returns:
            Itself.
        """
        self._frozen = freeze_at
        for part in self._frozen_parts():
            part.requires_grad_(False).eval()
        return self

    def train(self, mode: bool = True) -> "ResNet":
        """Switches to training or evaluation, but for what is frozen."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        stages = [self.get_submodule(name) for name in self.stage_names]
        return [self.stem, *stages][: self._frozen]


def _check_form(depth: int, *, plain: bool, options: dict[str, object]) -> None:
    if depth not in DEPTHS:
        raise ValueError(f"there is no ResNet of depth {depth}: choose from {list(DEPTHS)}")
    grouped = options.get("num_groups", 1) != 1
    if depth in BASIC and (grouped or not plain):
        raise ValueError(
            "groups, activation on entry and a stem without pooling need bottlenecks: a ResNet of "
            f"depth 50, 101 or 152, not {depth}"
        )


def _stages_needed(out_features: Sequence[str] | None) -> int:
    numbers = {f"res{index + 2}": index + 1 for index in range(4)}
    return 4 if out_features is None else max(numbers.get(name, 0) for name in out_features)
