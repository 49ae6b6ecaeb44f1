"""Batch norm of few channels over many values, in a form that fills a GPU.

cuDNN gives one block to each channel: the 24 channels of axial attention's similarities or the 8 of
the queries' self-attention leave most of a large GPU idle. Reductions and multiply-adds of whole
tensors do not. Values, gradients and running statistics are those of batch norm; sums are in
float32 whatever the type of the input.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MOST_CHANNELS = 32
LEAST_VALUES = 2**16
"""Of a channel; of fewer, launching several kernels costs more than it gains."""


def is_worthwhile(x: Tensor) -> bool:
    """Returns whether (B, C, …) is such an input, on a GPU."""
    channels = x.shape[1]
    return x.is_cuda and channels <= MOST_CHANNELS and x.numel() // channels >= LEAST_VALUES


def normalise_few_channels(norm: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
    """Applies a batch norm in training, with the statistics of this batch, and updates its own."""
    y, mean, variance = FewChannelNorm.apply(x, norm.weight, norm.bias, norm.eps)
    with torch.no_grad():
        count = x.numel() // x.shape[1]
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        unbiased = variance * (count / max(count - 1, 1))
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    return y


class FewChannelNorm(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) · weight + bias, with the statistics as further outputs."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalises (B, C, …) over all axes but the second; mean and variance are (C,)."""
        wide = _widen(x)
        variance, mean = torch.var_mean(wide, _axes(x), correction=0)
        inverse_std = (variance + eps).rsqrt()
        scale = weight * inverse_std
        y = torch.addcmul(_column(bias - mean * scale, x), wide, _column(scale, x))
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of input, weight and bias."""
        x, weight, mean, inverse_std = ctx.saved_tensors
        wide, axes = _widen(gradient), _axes(x)
        normalised = (_widen(x) - _column(mean, x)) * _column(inverse_std, x)
        by_bias, by_weight = wide.sum(axes), (wide * normalised).sum(axes)
        count = x.numel() // x.shape[1]
        inner = wide - _column(by_bias / count, x) - normalised * _column(by_weight / count, x)
        by_input = inner * _column(weight * inverse_std, x)
        return by_input.to(x.dtype), by_weight, by_bias, None


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


def _column(values: Tensor, x: Tensor) -> Tensor:
    """Shapes (C,) for an input (B, C, …)."""
    return values.view(-1, *[1] * (x.dim() - 2))
