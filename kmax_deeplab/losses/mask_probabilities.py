"""What the losses need of the softmax over the queries, without keeping it.

Mask logits at their stride enter; the log-probability of each pixel's owners and the probability
mass of the matched queries leave. Of the size of the probabilities nothing waits for the backward
pass, which computes them anew.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from kmax_deeplab.losses.grid import aligns_corners, resize_logits


class MaskProbabilities(torch.autograd.Function):
    """Softmax over the queries on the grid of the targets, read where the losses look at it."""

    @staticmethod
    def forward(
        ctx, logits: Tensor, owners: Tensor, queries: Tensor, counted: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Reads the probabilities of g predictions.

        Args:
            logits: (g, B, Q, h, w).
            owners: (B, L, P) int64 query that owns each pixel; any where none does.
            queries: (B, A) int64 matched queries.
            counted: (B, P) 1 where probability mass counts, else 0.
            grid: (H, W).

        Returns:
            (g, B, L, P) log-probability of the owners and (g, B, A) mass of the queries.
        """
        log_probs = resize_logits(logits, grid).log_softmax(2)  # (g, B, Q, P)
        probs = log_probs.flatten(1, 2).index_select(1, _rows(queries, logits)).exp_()
        mass = probs.unflatten(1, queries.shape) @ counted[..., None]  # (g, B, A, 1)
        ctx.save_for_backward(logits, owners, queries, counted)
        ctx.grid = grid
        return log_probs.gather(2, owners.expand(len(logits), -1, -1, -1)), mass[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, own: Tensor, mass: Tensor) -> tuple[Tensor | None, ...]:
        """Takes the gradients of both outputs; returns that of the logits."""
        logits, owners, queries, counted = ctx.saved_tensors
        probs = resize_logits(logits, ctx.grid).softmax(2)  # (g, B, Q, P)
        rows = _rows(queries, logits)
        direct = probs.flatten(1, 2).index_select(1, rows).unflatten(1, queries.shape)
        direct *= mass[..., None] * counted[:, None]  # (g, B, A, P)
        # d log p_i / d z_j is (i = j) - p_j, and d p_i / d z_j is p_i times that.
        gradient = probs.mul_(-(own.sum(2) + direct.sum(2))[:, :, None])
        gradient.flatten(1, 2).index_add_(1, rows, direct.flatten(1, 2))
        gradient.scatter_add_(2, owners.expand(len(logits), -1, -1, -1), own)
        return _resize_back(gradient, logits.shape, ctx.grid), None, None, None, None


def _rows(queries: Tensor, logits: Tensor) -> Tensor:
    """Returns where queries (B, A) lie among those of all images: (B * A,)."""
    images, count = logits.shape[1:3]
    first = torch.arange(images, device=logits.device)[:, None] * count
    return (first + queries).flatten()


def resize_back_by_products(gradient: Tensor, size: tuple[int, int], corners: bool) -> Tensor:
    """Computes the gradient of a bilinear resize as two products, whose sums have a fixed order.

    Args:
        gradient: (N, C, H, W).
        size: (h, w) before the resize.
        corners: whether it aligned them.

    Returns:
        (N, C, h, w).
    """
    weights = [
        F.interpolate(torch.eye(side).to(gradient)[None], out, mode="linear", align_corners=corners)
        for side, out in zip(size, gradient.shape[2:], strict=True)
    ]  # (1, h, H) and (1, w, W)
    return weights[0] @ (gradient @ weights[1].mT)


def _resize_back(gradient: Tensor, shape: torch.Size, grid: tuple[int, int]) -> Tensor:
    """Carries a gradient (g, B, Q, P) on the grid back to logits of a shape (g, B, Q, h, w)."""
    if tuple(shape[-2:]) == grid:
        return gradient.view(shape)
    maps, corners = gradient.view(-1, shape[2], *grid), aligns_corners(grid)
    if torch.are_deterministic_algorithms_enabled():
        return resize_back_by_products(maps, tuple(shape[-2:]), corners).view(shape)
    back = torch.ops.aten.upsample_bilinear2d_backward(maps, grid, (len(maps), *shape[2:]), corners)
    return back.view(shape)
