"""The losses of a batch, each a function of logits and supervision; no weights of a recipe.

Logits of G predictions at one stride and their common supervision enter, (G, B) losses leave, one a
prediction and image. "Mean over non-zero" is part of the recipe: pixels and queries without a loss
do not dilute those that have one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kmax_deeplab.losses.grid import sample_pixels
from kmax_deeplab.losses.mask_probabilities import MaskProbabilities
from kmax_deeplab.losses.supervision import sum_by_query
from kmax_deeplab.noise import SEMANTIC_PIXELS
from kmax_deeplab.structures import VOID, Supervision

POSITIVE_SHARE = 0.75
"""Weight of what belongs to a class; void queries have the rest."""


def mean_over_nonzero(losses: Tensor) -> Tensor:
    """Divides sums over the last axis by the number of entries that are not zero, or by 1."""
    return losses.sum(-1) / losses.count_nonzero(-1).clamp(min=1)


def class_loss(class_logits: Tensor, supervision: Supervision) -> Tensor:
    """Computes the PQ-weighted cross-entropy of the queries' classes, (G, B).

    Args:
        class_logits: (G, B, Q, K + 1), void last.
    """
    target = supervision.class_target
    balance = torch.where(target == class_logits.shape[-1] - 1, 1 - POSITIVE_SHARE, POSITIVE_SHARE)
    every = target.expand(class_logits.shape[:-1])
    cross_entropy = F.cross_entropy(class_logits.flatten(0, 2), every.flatten(), reduction="none")
    return mean_over_nonzero(cross_entropy.view_as(every) * balance * supervision.class_weight)


def mask_losses(
    mask_logits: list[Tensor],
    supervision: Supervision,
    grid: tuple[int, int],
    *,
    masking_void: bool = True,
) -> tuple[Tensor, Tensor]:
    """Computes the mask cross-entropy and the Dice loss from one softmax over the queries.

    Nothing of the size of the probabilities waits for the backward pass, which computes them anew.

    Args:
        mask_logits: (g, B, Q, h, w) each, of G predictions at their strides.
        grid: (H, W) of the targets.
        masking_void: Dice ignores the probabilities at void pixels.

    Returns:
        the two losses, (G, B) each.
    """
    coverage = supervision.coverage
    counted = (coverage > 0 if masking_void else torch.ones_like(coverage)).to(coverage.dtype)
    owners = supervision.query_map.clamp(min=0)
    read = [
        MaskProbabilities.apply(logits, owners, supervision.queries, counted, grid)
        for logits in mask_logits
    ]
    own_log_probs, mass = (torch.cat(parts) for parts in zip(*read, strict=True))
    return mask_loss(own_log_probs, supervision), dice_loss(own_log_probs, mass, supervision)


def mask_loss(own_log_probs: Tensor, supervision: Supervision) -> Tensor:
    """Computes the cross-entropy over the queries of each labelled pixel, (G, B).

    Args:
        own_log_probs: (G, B, L, P), see `MaskProbabilities`.
    """
    return mean_over_nonzero((supervision.shares * -own_log_probs).sum(-2))


def dice_loss(own_log_probs: Tensor, mass: Tensor, supervision: Supervision) -> Tensor:
    """Computes the PQ-weighted Dice loss of the matched queries, (G, B).

    Args:
        own_log_probs: (G, B, L, P), see `MaskProbabilities`.
        mass: (G, B, A), likewise.
    """
    layers, queries = len(mass), supervision.mask_weight.shape[1]
    query_map = supervision.query_map.expand(layers, -1, -1, -1)
    matched = supervision.queries
    overlap = sum_by_query(supervision.shares * own_log_probs.exp(), query_map, queries)
    overlap = overlap.gather(2, matched.expand(layers, -1, -1))  # (G, B, A)
    area, weight = supervision.areas.gather(1, matched), supervision.mask_weight.gather(1, matched)
    dice = 1 - (2 * overlap + 1) / (mass + area + 1)
    return (dice * (weight * supervision.is_pair)).sum(-1) * POSITIVE_SHARE / queries


def semantic_loss(
    logits: Tensor,
    semantic: Tensor,
    supervision: Supervision,
    *,
    samples: int,
    temperature: float,
    seeds: Tensor,
) -> Tensor:
    """Computes the semantic cross-entropy, of sampled pixels or of all, (B,).

    Args:
        logits: (B, K or K + 1, h, w), on the grid of the targets or a coarser one.
        semantic: (B, H, W) class of each pixel, VOID where unlabelled.
        supervision: of the final prediction: small segments are sampled more often.
        samples: number of pixels of an image; 0 means all.
        temperature: exponent of the inverse area in the sampling.
        seeds: (B,) int64, one an image, which decide what is sampled.

    Raises:
        ValueError: the targets strided to the width of the logits do not have their shape.
    """
    rows, columns = _stride_of(semantic.shape[1:], logits.shape[2:])
    logits, target = logits.flatten(2), semantic[:, rows, columns].flatten(1)
    if samples > 0:
        inverse_area = supervision.inverse_area.view_as(semantic)[:, rows, columns]
        coverage = supervision.coverage.view_as(semantic)[:, rows, columns]
        pixels = sample_pixels(
            inverse_area.flatten(1),
            coverage.flatten(1) == 0,
            samples=samples,
            temperature=temperature,
            seeds=seeds,
            stream=SEMANTIC_PIXELS,
        )  # (B, S)
        logits = logits.gather(2, pixels[:, None].expand(-1, logits.shape[1], -1))
        target = target.gather(1, pixels)
    losses = F.cross_entropy(logits, target, ignore_index=VOID, reduction="none")  # (B, S)
    return mean_over_nonzero(losses)


def _stride_of(grid: torch.Size, coarse: torch.Size) -> tuple[slice, slice]:
    """Finds the strided slices of the grid that meet the pixels of coarser logits."""
    stride = max((grid[1] - 1) // max(coarse[1] - 1, 1), 1)
    if tuple(-(-side // stride) for side in grid) != tuple(coarse):
        raise ValueError(
            f"semantic logits of {tuple(coarse)} pixels do not match targets of {tuple(grid)} "
            f"taken every {stride} pixels; give sizes that differ by an integer stride"
        )
    return slice(None, None, stride), slice(None, None, stride)
