"""Instance discrimination: sampled pixel features of a segment attract, all others repel.

Features at the S sampled pixels of an image enter, with its supervision; the loss leaves. The
targets become mean features of segments, and the (S, S) similarities live only inside the forward
pass (paper, section "Training": pixel-wise instance discrimination of MaX-DeepLab).
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kmax_deeplab.losses.supervision import pixel_shares, sum_by_query
from kmax_deeplab.structures import Supervision

TEMPERATURE = 0.3
TILE = 1024
"""Side of the tiles of similarities; 4 MiB of float32 stay near the processor."""


def instance_discrimination_loss(
    features: Tensor, supervision: Supervision, pixels: Tensor
) -> Tensor:
    """Computes the cross-entropy of each labelled pixel over all sampled ones.

    Its target is uniform over the sampled pixels of its own segment, itself included; where masks
    overlap it goes with the products of the shares. Void pixels have no loss, but repel.

    Args:
        features: (S, C) of norm at most 1 at the sampled pixels.
        supervision: of the image.
        pixels: (S,) int64 sampled pixels of the grid.

    Returns:
        the mean over labelled pixels, whose loss is never zero unless S = 1.
    """
    query_map, coverage = supervision.query_map[:, pixels], supervision.coverage[pixels]
    labelled = (coverage > 0).to(features.dtype)
    weights = labelled / labelled.sum().clamp(min=1)
    own = _mean_of_own_segment(features, query_map, coverage, len(supervision.class_target))
    attraction = (features * own).sum(1) / TEMPERATURE  # (S,)
    return SimilarityLogSumExp.apply(features, weights, TEMPERATURE) - weights @ attraction


def _mean_of_own_segment(
    features: Tensor, query_map: Tensor, coverage: Tensor, queries: int
) -> Tensor:
    """Averages the features of each pixel's segment; 0 at void pixels: (S, C)."""
    shares = pixel_shares(query_map, coverage).to(features.dtype)  # (L, S)
    sums = sum_by_query(shares[:, :, None] * features, query_map, queries)  # (Q, C)
    counts = sum_by_query(shares, query_map, queries)  # (Q,)
    owners = query_map.clamp(min=0)
    total = (shares[:, :, None] * sums[owners]).sum(0)
    weight = (shares * counts[owners]).sum(0)  # a labelled pixel's is at least 1 / L
    return total / weight.masked_fill(coverage == 0, 1)[:, None]


class SimilarityLogSumExp(torch.autograd.Function):
    """Weighted sum over i of log sum_j exp(f_i . f_j / temperature), gradient in both roles.

    The matrix is symmetric: only the tiles on and above its diagonal are computed. The weights are
    known beforehand, so the gradient is made while the tiles are there, and nothing of size (S, S)
    waits for the backward pass. No maximum is subtracted: a pixel's similarity to itself keeps each
    sum above 1, and features of norm up to 5 stay below the greatest float32.
    """

    @staticmethod
    def forward(ctx, features: Tensor, weights: Tensor, temperature: float) -> Tensor:
        """Takes features (S, C) and weights (S,) without gradient; returns a scalar."""
        scale = temperature**-0.5
        blocks = (features * scale).split(TILE)
        tiles = {
            (i, j): (blocks[i] @ blocks[j].t()).exp_()
            for i in range(len(blocks))
            for j in range(i, len(blocks))
        }
        sums = _row_sums(tiles, blocks)
        shares = [w / s for w, s in zip(weights.split(TILE), sums, strict=True)]
        ctx.save_for_backward(_gradient(tiles, blocks, shares) * scale)
        return weights @ torch.cat(sums).log()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Scales the gradient that the forward pass has made."""
        return gradient * ctx.saved_tensors[0], None, None


def _row_sums(tiles: dict[tuple[int, int], Tensor], blocks: tuple[Tensor, ...]) -> list[Tensor]:
    """Sums the rows of the symmetric matrix, block by block."""
    sums = [block.new_zeros(len(block)) for block in blocks]
    for (i, j), tile in tiles.items():
        sums[i] += tile.sum(1)
        if i != j:
            sums[j] += tile.sum(0)
    return sums


def _gradient(
    tiles: dict[tuple[int, int], Tensor], blocks: tuple[Tensor, ...], shares: list[Tensor]
) -> Tensor:
    """Computes sum_j (share_i + share_j) tile_ij block_j; the tiles are overwritten: (S, C)."""
    gradients = [torch.zeros_like(block) for block in blocks]
    for (i, j), tile in tiles.items():
        tile *= shares[i][:, None] + shares[j]
        gradients[i].addmm_(tile, blocks[j])
        if i != j:
            gradients[j].addmm_(tile.t(), blocks[i])
    return torch.cat(gradients)
