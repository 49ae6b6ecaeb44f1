"""Bricks shared by every part of the network: batch norm, ConvBN, bilinear resize, initialisers.

Parameter names (`conv`, `norm`) are those of the released checkpoints.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d
from kmax_deeplab.modeling.cpu.norm_gelu import norm_gelu
from kmax_deeplab.modeling.initial import draw_normal
from kmax_deeplab.modeling.tensor_norm import is_worthwhile, normalise

Norm = Callable[[int], nn.Module]
"""Makes the norm layer for a number of channels; the only way norm settings reach a module."""

Activation = Callable[[Tensor], Tensor]
"""Elementwise function, not in place."""

BATCH_NORM_EPS = 1e-3
"""Of every batch norm of the network (TensorFlow's default, kept by the released models)."""


class LocalBatchNorm(_BatchNorm):
    """Batch norm over (B, C, ...) with the statistics of this process alone.

    Attributes:
        is_local: whether nothing but this process's batch enters the statistics.
    """

    is_local = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or (self.is_local and not is_worthwhile(x)):
            return super().forward(x)
        return normalise(self, [x], over_ranks=not self.is_local)

    def sum_of(self, parts: Sequence[Tensor]) -> Tensor:
        """Sums normalised parts, whose channels this norm has one part after the other.

        Args:
            parts: (B, C, …) each.

        Returns:
            (B, C, …), what normalising their concatenation and adding the parts up gives.
        """
        if self.training and not (self.is_local and parts[0].is_cpu):
            return normalise(self, parts, over_ranks=not self.is_local)
        if self.training:
            self.num_batches_tracked.add_(1)
        tables = (self.running_mean, self.running_var, self.weight, self.bias)
        own = zip(*(table.chunk(len(parts)) for table in tables), strict=True)
        return sum(
            F.batch_norm(x, *each, self.training, self.momentum, self.eps)
            for x, each in zip(parts, own, strict=True)
        )

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm expects (B, C, ...), got shape {tuple(input.shape)}")


class BatchNorm(LocalBatchNorm):
    """Batch norm over (B, C, ...) whose training statistics span all ranks, wherever they run.

    Every rank must hold an equally large batch. Without a process group it is plain batch norm.
    """

    @property
    def is_local(self) -> bool:
        return not distributed.is_initialized()


FOLDABLE = "foldable"
"""Attribute of modules that apply a norm right after a convolution: (convolution, norm) names."""
NORMS = {"SyncBN": BatchNorm, "BN": LocalBatchNorm}


def make_norm(name: str = "SyncBN", momentum: float = 0.01) -> Norm:
    """Returns the maker of the network's norm layers.

    Args:
        name: "SyncBN" (statistics over all ranks) or "BN" (over this rank).
        momentum: weight of the newest batch in the running statistics (PyTorch's convention).

    Raises:
        ValueError: the name is unknown.
    """
    if name not in NORMS:
        raise ValueError(f"unknown norm {name!r}; choose one of {sorted(NORMS)}")
    return partial(NORMS[name], eps=BATCH_NORM_EPS, momentum=momentum)


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Activation] = {"none": _identity, "relu": F.relu, "gelu": F.gelu}


def get_activation(name: str) -> Activation:
    """Returns an activation by its name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class ConvBN(nn.Module):
    """Convolution, then batch norm, then GELU; the last two are optional.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: odd; the padding keeps the size, divided by the stride and rounded up.
        norm: maker of the norm layer; None leaves it out.
        gelu: whether GELU (the exact one) follows.
        kind: of convolution: `nn.Conv2d`, `nn.Conv1d` for (B, C, L), or `DepthwiseConv2d`.
        **options: of the convolution, e.g. stride and dilation; it has a bias only if asked for.
    """

    foldable = (("conv", "norm"),)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        norm: Norm | None,
        gelu: bool = False,
        kind: type[nn.Conv1d | nn.Conv2d] = nn.Conv2d,
        **options: int,
    ):
        super().__init__()
        padding = options.get("dilation", 1) * (kernel_size // 2)
        options = {"bias": False, "padding": padding, **options}
        self.conv = kind(in_channels, out_channels, kernel_size, **options)
        self.norm = norm(out_channels) if norm else nn.Identity()
        self.gelu = gelu
        init_depthwise(self.conv) if kind is DepthwiseConv2d else init_conv(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return norm_gelu(self.norm, x) if self.gelu else self.norm(x)


def init_conv(conv: nn.Module, std: float | None = None) -> None:
    """Draws weights from a normal truncated at 2 std; the default std is sqrt(2 / in_channels).

    The default counts channels only, not the kernel's area: this is the released recipe.
    """
    draw_normal(conv.weight, std=std or (2.0 / conv.in_channels) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_depthwise(conv: nn.Module) -> None:
    """Draws depthwise weights from Xavier's uniform distribution."""
    nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def zero_init(residual: ConvBN) -> ConvBN:
    """Zeroes the norm's scale, so that a residual branch starts as nothing; returns the brick."""
    nn.init.zeros_(residual.norm.weight)
    return residual


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W), computed in float32 under autocast too."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Returns a context in which nothing is cast to half precision, on the device of a tensor."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def corners_aligned(x: Tensor) -> bool:
    """Tells whether resizing (B, C, H, W) aligns corners: when its width is odd, as 32k + 1 is."""
    return int(x.shape[-1]) % 2 == 1  # a static size, so that tracing keeps the branch


def resize_bilinear(x: Tensor, size: tuple[int, int], align_corners: bool | None = None) -> Tensor:
    """Resizes (B, C, H, W) to `size`, corners aligned as told or by `corners_aligned`."""
    align_corners = corners_aligned(x) if align_corners is None else align_corners
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
