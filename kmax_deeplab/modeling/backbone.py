"""What all backbones are: an image enters, named features of known shapes leave."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from torch import Tensor, nn

STRIDES = {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
"""Features by name, with the stride in pixels that their order rests on."""


class FeatureShape(NamedTuple):
    """Of a feature (B, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""

    channels: int
    stride: int


class Backbone(nn.Module):
    """Base of the backbones, with what Detectron2 asks of one.

    Attributes:
        channels: of each feature that `forward` returns.
        strides: of each feature, as declared.
    """

    channels: dict[str, int]
    strides: dict[str, int] = STRIDES
    size_divisibility = 0

    @property
    def padding_constraints(self) -> dict[str, int]:
        """None: images of any size are taken."""
        return {}

    def output_shape(self) -> dict[str, FeatureShape]:
        """Returns the shapes of the features that `forward` returns."""
        return {name: FeatureShape(c, self.strides[name]) for name, c in self.channels.items()}

    def _choose(self, wanted: Sequence[str] | None, channels: dict[str, int]) -> None:
        """Declares which of all features `forward` returns; None: all of them."""
        if wanted is not None and (unknown := sorted(set(wanted) - channels.keys())):
            raise ValueError(f"there are no features {unknown}; choose from {list(channels)}")
        names: Collection[str] = channels if wanted is None else wanted
        self.channels = {name: channels[name] for name in names}

    def _chosen(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: features[name] for name in self.channels}


def coarse_to_fine(shapes: dict[str, FeatureShape], names: Collection[str]) -> list[str]:
    """Orders features by declared stride, those of one stride as the backbone declares them.

    Raises:
        ValueError: the backbone does not give one of them.
    """
    if missing := sorted(set(names) - shapes.keys()):
        raise ValueError(f"the features {missing} are wanted, the backbone gives {list(shapes)}")
    return sorted((n for n in shapes if n in names), key=lambda name: -shapes[name].stride)
