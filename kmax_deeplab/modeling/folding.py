"""Batch norms of a network that only predicts: each becomes part of the convolution before it.

A norm with fixed statistics is a multiply-add per channel, and so is the end of a convolution. What
leaves the network is the same up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from kmax_deeplab.modeling.layers import FOLDABLE, LocalBatchNorm

Pair = tuple[nn.Module, nn.Module, str]
"""A convolution, the module that applies its norm next, and that norm's name there."""


def fold_norms(network: nn.Module) -> None:
    """Folds the norms of a network for good: it cannot be trained or saved any more."""
    for conv, owner, name in _pairs(network):
        _fold(conv, owner, name)


@contextmanager
def folded_norms(network: nn.Module) -> Iterator[None]:
    """Folds the norms of a network for a while."""
    pairs = _pairs(network)
    before = [(conv.weight, conv.bias, getattr(owner, name)) for conv, owner, name in pairs]
    try:
        for pair in pairs:
            _fold(*pair)
        yield
    finally:
        for (conv, owner, name), (weight, bias, norm) in zip(pairs, before, strict=True):
            conv.weight, conv.bias = weight, bias
            setattr(owner, name, norm)


def _pairs(network: nn.Module) -> list[Pair]:
    found = []
    for module in network.modules():
        for conv_name, name in getattr(module, FOLDABLE, ()):
            conv = module.get_submodule(conv_name)
            if isinstance(getattr(module, name), LocalBatchNorm):
                found.append((conv, module, name))
    return found


@torch.no_grad()
def _fold(conv: nn.Module, owner: nn.Module, name: str) -> None:
    norm = getattr(owner, name)
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    shift = shift if conv.bias is None else shift + conv.bias * scale
    weight = conv.weight * scale.view(-1, *[1] * (conv.weight.dim() - 1))
    conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(conv.weight), requires_grad=False)
    setattr(owner, name, nn.Identity())
