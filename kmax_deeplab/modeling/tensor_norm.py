"""Batch norm as reductions and multiply-adds of whole tensors, of one input or a sum of several.

PyTorch's own is a kernel of its own, which serves one process and one input. This form spans all
processes with one collective a direction and no wait of the host, sums several normalised inputs
without gathering them, fills a GPU where channels are few (cuDNN gives each of them one block: the
24 of axial attention's similarities leave most of a large GPU idle), and `torch.compile` fuses it
with what lies around it. Values, gradients and running statistics are those of batch norm; sums are
in float32 whatever the type of the input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

MOST_CHANNELS = 32
LEAST_VALUES = 2**16
"""Of a channel; of fewer, launching several kernels costs more than it gains."""


def is_worthwhile(x: Tensor) -> bool:
    """Returns whether (B, C, …) has few channels and many values, on a GPU."""
    channels = x.shape[1]
    return x.is_cuda and channels <= MOST_CHANNELS and x.numel() // channels >= LEAST_VALUES


def normalise(
    norm: nn.modules.batchnorm._BatchNorm, parts: Sequence[Tensor], *, over_ranks: bool = False
) -> Tensor:
    """Applies a batch norm in training, with the statistics of this batch, and updates its own.

    Args:
        norm: has the channels of all parts, one part after the other.
        parts: (B, C, …) each, of one shape.
        over_ranks: whether the statistics are those of all processes, whose batches are equal.

    Returns:
        the sum of the normalised parts, (B, C, …).
    """
    y, mean, variance = TensorNorm.apply(norm.weight, norm.bias, norm.eps, over_ranks, *parts)
    with torch.no_grad():
        count = _values_per_channel(parts[0], over_ranks)
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        unbiased = variance * (count / max(count - 1, 1))
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    return y


class TensorNorm(torch.autograd.Function):
    """Sum of (x - mean) / sqrt(variance + eps) · weight + bias, the statistics further outputs."""

    @staticmethod
    def forward(
        ctx, weight: Tensor, bias: Tensor, eps: float, over_ranks: bool, *parts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalises n parts (B, C, …) over all axes but the second.

        Returns:
            (B, C, …) and mean and variance, (n C,).
        """
        moments = [torch.var_mean(_widen(x), _axes(x), correction=0) for x in parts]
        variance, mean = (torch.cat(each) for each in zip(*moments, strict=True))
        if over_ranks:
            variance, mean = _pool(variance, mean)
        inverse_std = (variance + eps).rsqrt()
        scale = weight * inverse_std
        shift = (bias - mean * scale).view(len(parts), -1).sum(0)
        y = _column(shift, parts[0])
        for x, own in zip(parts, scale.chunk(len(parts)), strict=True):
            y = torch.addcmul(y, _widen(x), _column(own, x))
        ctx.save_for_backward(weight, mean, inverse_std, *parts)
        ctx.over_ranks = over_ranks
        ctx.mark_non_differentiable(mean, variance)
        return y.to(parts[0].dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of weight, bias and the parts."""
        weight, mean, inverse_std, *parts = ctx.saved_tensors
        wide, axes = _widen(gradient), _axes(gradient)
        means, stds = mean.chunk(len(parts)), inverse_std.chunk(len(parts))
        centred = [_standardise(*each) for each in zip(parts, means, stds, strict=True)]
        by_bias = wide.sum(axes)
        by_weight = torch.cat([(wide * x).sum(axes) for x in centred])
        sums = torch.cat([by_bias, by_weight])
        if ctx.over_ranks:
            distributed.all_reduce(sums)
        sums = sums / _values_per_channel(parts[0], ctx.over_ranks)
        by_shift, *by_scale = sums.chunk(len(parts) + 1)
        by_shift = _column(by_shift, gradient)
        scales = (weight * inverse_std).chunk(len(parts))
        by_parts = [
            ((wide - by_shift - x * _column(own, x)) * _column(scale, x)).to(parts[0].dtype)
            for x, own, scale in zip(centred, by_scale, scales, strict=True)
        ]
        return by_weight, by_bias.repeat(len(parts)), None, None, *by_parts


def _pool(variance: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Makes the moments of all processes, each with as many values, out of everyone's."""
    own = torch.stack([variance, mean])
    everyone = own.new_zeros(distributed.get_world_size(), *own.shape)
    everyone[distributed.get_rank()] = own
    distributed.all_reduce(everyone)  # sums with zeros: every backend gathers so, in one graph
    variances, means = everyone.unbind(1)
    return variances.mean(0) + means.var(0, correction=0), means.mean(0)


def _values_per_channel(x: Tensor, over_ranks: bool) -> int:
    own = x.numel() // x.shape[1]
    return own * distributed.get_world_size() if over_ranks else own


def _standardise(x: Tensor, mean: Tensor, inverse_std: Tensor) -> Tensor:
    return (_widen(x) - _column(mean, x)) * _column(inverse_std, x)


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


def _column(values: Tensor, x: Tensor) -> Tensor:
    """Shapes (C,) for an input (B, C, …)."""
    return values.view(-1, *[1] * (x.dim() - 2))
