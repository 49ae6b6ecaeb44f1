"""Predictions of coarser strides, resized or sampled on the grid of the targets.

Predictions at stride 32, 16, 8 or 4 enter; logits on the whole grid, or features at sampled pixels
of it, leave. A pixel of the grid is known by its row-major index in [0, P).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kmax_deeplab.noise import uniform

VOID_LOG_PROBABILITY = -99999.0
"""Log-probability of sampling a void pixel: such pixels come only after all labelled ones."""


def aligns_corners(grid: tuple[int, int]) -> bool:
    """Tells the resizing convention of the losses, which follows the height resized *to*."""
    return grid[0] % 2 == 1


def resize_logits(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resizes maps bilinearly to the grid.

    Args:
        logits: (..., Q, h, w).
        grid: (H, W).

    Returns:
        (..., Q, P).
    """
    if logits.shape[-2:] != grid:
        maps = logits.flatten(0, -4) if logits.dim() > 3 else logits[None]
        maps = F.interpolate(maps, grid, mode="bilinear", align_corners=aligns_corners(grid))
        logits = maps.view(*logits.shape[:-2], *grid)
    return logits.flatten(-2)


def sample_pixels(
    inverse_area: Tensor,
    is_void: Tensor,
    *,
    samples: int,
    temperature: float,
    seeds: Tensor,
    stream: int,
    predictions: int | None = None,
) -> Tensor:
    """Draws pixels without replacement, those of small segments more often (Gumbel top-k).

    Args:
        inverse_area: (B, P) number of pixels over the area of the pixel's segment.
        is_void: (B, P) boolean; void pixels are drawn only when the others run out.
        samples: number of pixels wanted of each image; more than P means all of them.
        temperature: exponent of the inverse area; 0 draws all labelled pixels alike.
        seeds: (B,) int64, one an image, which decide what is drawn (see `noise`).
        stream: of `noise`.
        predictions: G, each of which draws anew; None: there is one.

    Returns:
        ([G,] B, S) int64 pixel indices in no particular order, S = min(samples, P).
    """
    log_probability = temperature * inverse_area.log()
    log_probability = log_probability.masked_fill(is_void, VOID_LOG_PROBABILITY)
    draws = uniform(seeds, stream, (predictions or 1, log_probability.shape[-1]))  # (B, G, P)
    exponential = -torch.log1p(-draws.transpose(0, 1))
    gumbel = -exponential.log() if predictions else -exponential[0].log()
    samples = min(samples, log_probability.shape[-1])
    return (log_probability + gumbel).topk(samples, sorted=False).indices


def sample_bilinear(features: list[Tensor], pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Reads what a bilinear resize to the grid would hold at a few of its pixels.

    Args:
        features: (g, B, C, h, w) each, of G predictions; what is read is not normalised again.
        pixels: (G, B, S) int64 pixel indices of the grid.
        grid: (H, W).

    Returns:
        (G, B, S, C).
    """
    corners, (height, width), dtype = aligns_corners(grid), grid, features[0].dtype
    columns, rows = pixels % width, pixels.div(width, rounding_mode="floor")
    axes = [
        places * (2 / max(side - 1, 1)) - 1 if corners else (2 * places + 1) / side - 1
        for places, side in ((columns.to(dtype), width), (rows.to(dtype), height))
    ]
    places = torch.stack(axes, -1)  # (G, B, S, 2) in [-1, 1]
    deterministic = torch.are_deterministic_algorithms_enabled()
    read_at = read_by_gathering if deterministic else _read_by_sampling
    read = [
        read_at(maps.flatten(0, 1), where.flatten(0, 1), corners).unflatten(0, where.shape[:2])
        for maps, where in zip(features, places.split([len(m) for m in features]), strict=True)
    ]  # (g, B, C, S) each
    return torch.cat(read).transpose(2, 3)


def _read_by_sampling(maps: Tensor, places: Tensor, corners: bool) -> Tensor:
    found = F.grid_sample(
        *(maps, places[:, None]), mode="bilinear", padding_mode="border", align_corners=corners
    )
    return found[:, :, 0]


def read_by_gathering(maps: Tensor, places: Tensor, corners: bool) -> Tensor:
    """Reads maps bilinearly with gradients whose sums have a fixed order, on GPUs too.

    Args:
        maps: (N, C, h, w).
        places: (N, S, 2) of x and y in [-1, 1], as `grid_sample` takes them.
        corners: whether -1 and 1 are the middles of the outermost pixels, and not their borders.

    Returns:
        (N, C, S).
    """
    height, width = maps.shape[2:]
    sides = torch.tensor([width, height], device=maps.device)
    scaled = (places + 1) / 2 * (sides - 1) if corners else ((places + 1) * sides - 1) / 2
    scaled = torch.minimum(scaled.clamp(min=0), sides - 1)
    lower = torch.minimum(scaled.floor().long(), (sides - 2).clamp(min=0))
    upper = torch.minimum(lower + 1, sides - 1)
    share = (scaled - lower).unbind(-1)
    flat, total = maps.flatten(2), 0
    for rows, weight in ((lower, 1 - share[1]), (upper, share[1])):
        for columns, other in ((lower, 1 - share[0]), (upper, share[0])):
            index = (rows[..., 1] * width + columns[..., 0])[:, None].expand(-1, flat.shape[1], -1)
            total = total + flat.gather(2, index) * (weight * other)[:, None]
    return total
