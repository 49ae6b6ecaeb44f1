"""Batch norm followed by GELU as one step that remembers its input only.

Apart, the two keep three tensors for their backward pass and the one behind them: the norm's input,
its output and GELU's output. Together they keep the first and the last; the norm's output is one
multiply-add away. Values and gradients are those of the two modules.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm_gelu(norm: nn.Module, x: Tensor) -> Tensor:
    """Applies a norm layer to (B, C, ...), then GELU (the exact one); may overwrite the input."""
    if not _can_be_one_step(norm, x):
        y = norm(x)
        return F.gelu(y) if torch.is_grad_enabled() else torch.ops.aten.gelu_(y)
    norm.num_batches_tracked.add_(1)
    return _BatchNormGelu.apply(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps
    )


def _can_be_one_step(norm: nn.Module, x: Tensor) -> bool:
    """Says whether the norm takes its statistics from this batch alone, on a CPU, in one dtype.

    GPUs are left to their own kernels: nothing was measured there.
    """
    of_this_batch = norm.training and getattr(norm, "is_local", False)
    several_values = x.numel() > x.shape[1]  # of one value per channel batch norm itself complains
    return (
        of_this_batch and several_values and x.device.type == "cpu" and x.dtype == norm.weight.dtype
    )


class _BatchNormGelu(torch.autograd.Function):
    """Batch norm with the statistics of the batch, then GELU in its place."""

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, momentum, eps):
        y, mean, inverse_std = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, bias, mean, inverse_std)
        ctx.eps = eps
        return torch.ops.aten.gelu_(y)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, bias, mean, inverse_std = ctx.saved_tensors
        scale = weight * inverse_std
        shape = (-1,) + (1,) * (x.dim() - 2)
        y = torch.addcmul((bias - mean * scale).view(shape), x, scale.view(shape))
        torch.ops.aten.gelu_backward.grad_input(gradient, y, grad_input=y)
        gradients = torch.ops.aten.native_batch_norm_backward(
            y, x, weight, None, None, mean, inverse_std, True, ctx.eps, [True, True, True]
        )
        return *gradients, None, None, None, None
