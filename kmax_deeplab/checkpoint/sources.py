"""Whose weights a state dict holds, recognised by its names, and what ours call them.

One small table per source of ImageNet backbones; `released` has the rule of whole models.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from kmax_deeplab.checkpoint.released import from_released

State = dict[str, Tensor]

BACKBONE, HEAD = "backbone.", "sem_seg_head."


@dataclass(frozen=True)
class Family:
    """Names of one family of ImageNet backbones.

    Args:
        title: for messages.
        marker: a name that only this family has.
        rules: (regular expression, replacement), applied in turn.
        unused: beginnings of the names that features do not need.
    """

    title: str
    marker: str
    rules: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]

    def translate(self, name: str) -> str:
        """Returns our name, below the backbone."""
        for pattern, replacement in self.rules:
            name = re.sub(pattern, replacement, name)
        return name


FAMILIES = (
    Family(
        title="torchvision or timm ResNet",
        marker="layer1.0.conv1.weight",
        rules=(
            (r"^conv1\.", "stem.conv1."),
            (r"^bn1\.", "stem.conv1.norm."),
            (r"^layer1\.", "res2."),
            (r"^layer2\.", "res3."),
            (r"^layer3\.", "res4."),
            (r"^layer4\.", "res5."),
            (r"(?<=\d)\.bn(\d)\.", r".conv\1.norm."),
            (r"\.downsample\.0\.", ".shortcut."),
            (r"\.downsample\.1\.", ".shortcut.norm."),
        ),
        unused=("fc.",),
    ),
    Family(
        title="Detectron2 ResNet",
        marker="res2.0.conv1.weight",
        rules=(),
        unused=("fc.", "stem.fc.", "linear."),
    ),
    Family(
        title="official ConvNeXt",
        marker="downsample_layers.0.0.weight",
        rules=(),
        unused=("norm.", "head."),
    ),
    Family(
        title="timm ConvNeXt",
        marker="stages.0.blocks.0.conv_dw.weight",
        rules=(
            (r"^stem\.", "downsample_layers.0."),
            (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
            (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
            (r"\.conv_dw\.", ".dwconv."),
            (r"\.mlp\.fc(\d)\.", r".pwconv\1."),
        ),
        unused=("norm.", "norm_pre.", "head."),
    ),
)


@dataclass(frozen=True)
class Weights:
    """A state dict under our names.

    Args:
        title: whose it is.
        state: {our name: tensor}.
        whole: whether it claims to be a whole model rather than a backbone.
        unused: names of the file that a backbone without classifier does not need.
    """

    title: str
    state: State
    whole: bool
    unused: list[str] = field(default_factory=list)


def recognise(names: Iterable[str]) -> Family | None:
    """Returns the family of ImageNet backbones that has these names, if there is one."""
    names = set(names)
    return next((source for source in FAMILIES if source.marker in names), None)


def translate(state: State, backbone: nn.Module | None = None) -> Weights:
    """Recognises a state dict and gives its entries our names.

    A file with entries of the head claims to be a whole model, torn or not; without one it is a
    backbone. Names that nothing is known about are treated as those of a whole model, so that
    everything they do not fit is reported.

    Args:
        state: {name in the file: tensor}; "module." before all names is dropped.
        backbone: of the model to fill. One of timm's reads timm's files itself.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    if any(name.startswith(HEAD) for name in state):
        ours = {from_released(name): value for name, value in state.items()}
        title = "our names" if ours.keys() == state.keys() else "released names"
        return Weights(title, ours, whole=True)
    if all(name.startswith(BACKBONE) for name in state):
        return Weights("a backbone of ours", dict(state), whole=False)
    if hasattr(backbone, "from_timm"):
        ours, unused = backbone.from_timm(state)
        return Weights("a timm model", _below_backbone(ours), whole=False, unused=unused)
    source = recognise(state)
    if source is None:
        ours = {from_released(name): value for name, value in state.items()}
        return Weights("of an unknown source", ours, whole=True)
    return translate_backbone(source, state)


def translate_backbone(source: Family, state: State) -> Weights:
    """Gives the entries of an ImageNet classifier our names and drops its classifier."""
    unused = [name for name in state if name.startswith(source.unused)]
    ours = {source.translate(name): v for name, v in state.items() if name not in set(unused)}
    for name, value in ours.items():
        if ".pwconv" in name and value.ndim == 4:  # a 1x1 convolution is a linear layer
            ours[name] = value.flatten(1)
    return Weights(source.title, _below_backbone(ours), whole=False, unused=unused)


def _below_backbone(state: State) -> State:
    return {BACKBONE + name: value for name, value in state.items()}
