"""Stochastic depth: a residual branch (B, …) enters, that of some images leaves as zero.

Which images' follows from their seeds (see `noise`), so that it is the same however a batch is
shared out among processes.
"""

from collections.abc import Sequence

import timm.layers
import torch
from torch import Tensor, nn

from kmax_deeplab.noise import DROP_PATH, uniform


class DropPath(nn.Module):
    """Drops a residual branch for whole images, and scales up the others'.

    Args:
        drop_prob: probability that an image's branch is dropped.
    """

    def __init__(self, drop_prob: float = 0.0):
        super().__init__()
        self.drop_prob = drop_prob
        self.register_buffer("draws", None, persistent=False)  # (B,) in (0, 1), of this batch

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        draws = torch.rand(len(x), device=x.device) if self.draws is None else self.draws
        keep_prob = 1 - self.drop_prob
        scale = (draws >= self.drop_prob).to(x.dtype) / max(keep_prob, 2.0**-24)
        return x * scale.view(-1, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f"drop_prob={self.drop_prob:g}"


def draw_paths(layers: Sequence[DropPath], seeds: Tensor) -> None:
    """Decides for a batch which images' branches are dropped.

    Args:
        layers: of a network, in a fixed order.
        seeds: (B,) int64, one an image.
    """
    if layers:
        draws = uniform(seeds, DROP_PATH, (len(layers),)).T.contiguous()
        for layer, own in zip(layers, draws.unbind(), strict=True):
            layer.draws = own


def replace_drop_paths(network: nn.Module) -> None:
    """Puts ours into the place of timm's."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, timm.layers.DropPath):
                setattr(module, name, DropPath(child.drop_prob))
