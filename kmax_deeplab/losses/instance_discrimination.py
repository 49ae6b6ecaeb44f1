"""Instance discrimination: sampled pixel features of a segment attract, all others repel.

Features at the S sampled pixels of N images enter, with the supervision; the losses leave. The
targets become mean features of segments, and the (S, S) similarities live only inside the forward
pass (paper, section "Training": pixel-wise instance discrimination of MaX-DeepLab).
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kmax_deeplab.losses.supervision import sum_by_query

TEMPERATURE = 0.3
TILE = 1024
"""Side of the tiles of similarities on a CPU; 4 MiB of float32 stay near the processor."""
MOST_VALUES = 2**29
"""Similarities that are held at once on other devices, 2 GiB of float32."""


def instance_discrimination_loss(features: Tensor, query_map: Tensor, queries: int) -> Tensor:
    """Computes the cross-entropy of each labelled pixel over all sampled ones.

    Its target is uniform over the sampled pixels of its own segment, itself included; where masks
    overlap it goes with the products of the shares. Void pixels have no loss, but repel.

    Args:
        features: (N, S, C) of norm at most 1 at the sampled pixels.
        query_map: (N, L, S) owners of these pixels, VOID where there is none.
        queries: Q.

    Returns:
        (N,) means over labelled pixels, whose loss is never zero unless S = 1.
    """
    coverage = (query_map >= 0).sum(1)  # (N, S)
    labelled = (coverage > 0).to(features.dtype)
    weights = labelled / labelled.sum(1, keepdim=True).clamp(min=1)
    own = _mean_of_own_segment(features, query_map, coverage, queries)
    attraction = (features * own).sum(2) / TEMPERATURE  # (N, S)
    repulsion = SimilarityLogSumExp.apply(features, weights, TEMPERATURE)
    return repulsion - (weights * attraction).sum(1)


def _mean_of_own_segment(
    features: Tensor, query_map: Tensor, coverage: Tensor, queries: int
) -> Tensor:
    """Averages the features of each pixel's segment; 0 at void pixels: (N, S, C)."""
    images, layers, _ = query_map.shape
    shares = ((query_map >= 0) / coverage.clamp(min=1)[:, None]).to(features.dtype)  # (N, L, S)
    counts = sum_by_query(shares, query_map, queries)  # (N, Q)
    first = torch.arange(images, device=features.device)[:, None, None] * (queries + 1)
    rows = first + query_map % (queries + 1)  # VOID becomes an extra last row of each image
    sums = features.new_zeros(images * (queries + 1), features.shape[2])
    values = (shares[..., None] * features[:, None]).flatten(0, 2)  # (N * L * S, C)
    sums = sums.index_add(0, rows.flatten(), values)
    owners = (first + query_map.clamp(min=0)).flatten()
    total = shares[..., None] * sums.index_select(0, owners).view(images, layers, -1, sums.shape[1])
    own_counts = counts.gather(1, query_map.clamp(min=0).flatten(1)).view_as(shares)
    weight = (shares * own_counts).sum(1)  # a labelled pixel's is at least 1 / L
    return total.sum(1) / weight.masked_fill(coverage == 0, 1)[..., None]


class SimilarityLogSumExp(torch.autograd.Function):
    """Weighted sums over i of log sum_j exp(f_i . f_j / temperature), gradient in both roles.

    The weights are known beforehand, so the gradient is made while the similarities are there, and
    nothing of size (S, S) waits for the backward pass. No maximum is subtracted: a pixel's
    similarity to itself keeps each sum above 1, and features of norm up to 5 stay below the
    greatest float32. On a CPU the symmetric matrix is computed in tiles on and above its diagonal,
    elsewhere as one product.
    """

    @staticmethod
    def forward(ctx, features: Tensor, weights: Tensor, temperature: float) -> Tensor:
        """Takes features (N, S, C) and weights (N, S) without gradient; returns (N,)."""
        scale = temperature**-0.5
        if features.is_cpu and TILE:
            parts = [_by_tiles(f * scale, w) for f, w in zip(features, weights, strict=True)]
            values, gradients = (torch.stack(part) for part in zip(*parts, strict=True))
        else:
            at_once = max(MOST_VALUES // max(features.shape[1], 1) ** 2, 1)
            chunks = zip((features * scale).split(at_once), weights.split(at_once), strict=True)
            parts = [_at_once(*chunk) for chunk in chunks]
            values, gradients = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(gradients * scale)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Scales the gradients that the forward pass has made."""
        return gradient[:, None, None] * ctx.saved_tensors[0], None, None


def _at_once(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Computes values (n,) and gradients (n, S, C) of scaled features (n, S, C)."""
    similarity = (features @ features.transpose(1, 2)).exp_()  # (n, S, S)
    sums = similarity.sum(2)
    shares = weights / sums
    gradients = similarity.mul_(shares[..., None] + shares[:, None]) @ features
    return (weights * sums.log()).sum(1), gradients


def _by_tiles(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the value () and the gradient (S, C) of scaled features (S, C) of one image."""
    blocks = features.split(TILE)
    tiles = {
        (i, j): (blocks[i] @ blocks[j].t()).exp_()
        for i in range(len(blocks))
        for j in range(i, len(blocks))
    }
    sums = _row_sums(tiles, blocks)
    shares = [w / s for w, s in zip(weights.split(TILE), sums, strict=True)]
    return weights @ torch.cat(sums).log(), _gradient(tiles, blocks, shares)


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
