"""Predictions of coarser strides, resized or sampled on the grid of the targets.

Predictions of one image at stride 32, 16, 8 or 4 enter; logits on the whole grid, or features at
sampled pixels of it, leave. A pixel of the grid is known by its row-major index in [0, P).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

VOID_LOG_PROBABILITY = -99999.0
"""Log-probability of sampling a void pixel: such pixels come only after all labelled ones."""


def aligns_corners(grid: tuple[int, int]) -> bool:
    """Tells the resizing convention of the losses, which follows the height resized *to*."""
    return grid[0] % 2 == 1


def resize_logits(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resizes the maps of one image bilinearly to the grid.

    Args:
        logits: (Q, h, w).
        grid: (H, W).

    Returns:
        (Q, P).
    """
    if logits.shape[1:] != grid:
        logits = F.interpolate(
            logits[None], grid, mode="bilinear", align_corners=aligns_corners(grid)
        )[0]
    return logits.flatten(1)


def sample_pixels(
    inverse_area: Tensor,
    is_void: Tensor,
    *,
    samples: int,
    temperature: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws pixels without replacement, those of small segments more often (Gumbel top-k).

    Args:
        inverse_area: (P,) number of pixels over the area of the pixel's segment.
        is_void: (P,) boolean; void pixels are drawn only when the others run out.
        samples: number of pixels wanted; more than P means all of them.
        temperature: exponent of the inverse area; 0 draws all labelled pixels alike.
        generator: on the device of the pixels; None means PyTorch's global one.

    Returns:
        (S,) int64 pixel indices in no particular order, S = min(samples, P).
    """
    log_probability = temperature * inverse_area.log()
    log_probability = log_probability.masked_fill(is_void, VOID_LOG_PROBABILITY)
    gumbel = -torch.empty_like(log_probability).exponential_(generator=generator).log()
    samples = min(samples, len(log_probability))
    return (log_probability + gumbel).topk(samples, sorted=False).indices


def sample_bilinear(features: Tensor, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Reads what a bilinear resize to the grid would hold at a few of its pixels.

    Args:
        features: (C, h, w); the features read are not normalised again.
        pixels: (S,) int64 pixel indices of the grid.
        grid: (H, W).

    Returns:
        (S, C).
    """
    height, width = features.shape[1:]
    dtype, corners = features.dtype, aligns_corners(grid)
    rows = pixels.div(grid[1], rounding_mode="floor")
    top, row_weight = _taps(rows, height, grid[0], corners, dtype)  # (S, 2) each
    left, column_weight = _taps(pixels % grid[1], width, grid[1], corners, dtype)
    taps = (top[:, :, None] * width + left[:, None]).flatten(1)  # (S, 4)
    weights = (row_weight[:, :, None] * column_weight[:, None]).flatten(1)
    table = features.flatten(1).t().contiguous()  # (h * w, C)
    return F.embedding_bag(taps, table, per_sample_weights=weights, mode="sum")


def _taps(
    target: Tensor, source_size: int, target_size: int, corners: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Finds the two source positions between which each target position lies, and their weights."""
    if corners:
        position = target.to(dtype) * ((source_size - 1) / max(target_size - 1, 1))
    else:
        position = (target.to(dtype) + 0.5) * (source_size / target_size) - 0.5
    position = position.clamp(0, source_size - 1)
    low = position.long()
    high = (low + 1).clamp(max=source_size - 1)
    fraction = position - low
    return torch.stack([low, high], 1), torch.stack([1 - fraction, fraction], 1)
