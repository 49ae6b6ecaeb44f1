"""Less memory in training: parts of the network enter, their outputs leave, little else is kept.

What the backward pass of a part needs is computed anew just before it, except for the outputs of
its convolutions: they are kept, so that only cheap work (norms, activations, attention weights) is
done twice. Gradients and running statistics are those of the plain forward pass.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

KEPT = [torch.ops.aten.convolution.default]
"""Operators that cost most of the time; their outputs are kept."""


class Recomputing(nn.Module):
    """Base of modules that run their parts with `run`, so that these may forget.

    Attributes:
        recompute: whether they do, in training.
        recomputes_little: whether little is done twice then, because of the convolutions.
    """

    recompute = False
    recomputes_little = True

    def run(self, part: nn.Module, *inputs: Tensor) -> object:
        """Calls a part; with `recompute` it keeps the outputs of its convolutions only."""
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return part(*inputs)
        contexts = partial(_forward_and_recomputation, part)
        if torch.compiler.is_compiling():  # whose recomputation repeats no update of statistics
            contexts = _keep_convolutions
        return checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts)


def set_recompute(network: nn.Module, recompute: bool, *, all_parts: bool = True) -> None:
    """Switches the `Recomputing` modules of a network; all, or those that recompute little."""
    for module in network.modules():
        if isinstance(module, Recomputing):
            module.recompute = recompute and (all_parts or module.recomputes_little)


def _keep_convolutions() -> tuple[AbstractContextManager, ...]:
    return create_selective_checkpoint_contexts(KEPT)


def _forward_and_recomputation(part: nn.Module) -> tuple[AbstractContextManager, ...]:
    keep, reuse = _keep_convolutions()
    return keep, _recomputation(part, reuse)


@contextmanager
def _recomputation(part: nn.Module, reuse: AbstractContextManager) -> Iterator[None]:
    """Reuses what was kept, and leaves alone the running statistics: they have seen this batch."""
    norms = [module for module in part.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    nobody_reads = torch.zeros((), dtype=torch.long)
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, nobody_reads
    try:
        with reuse:
            yield
    finally:
        for norm, state in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = state
