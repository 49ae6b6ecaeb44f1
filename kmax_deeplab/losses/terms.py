"""The losses of one image, each a function of logits and supervision; no weights of a recipe.

Logits of one image and its supervision enter, scalars leave. "Mean over non-zero" is part of the
recipe: pixels and queries without a loss do not dilute those that have one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kmax_deeplab.losses.grid import resize_logits, sample_pixels
from kmax_deeplab.losses.supervision import pixel_shares, sum_by_query
from kmax_deeplab.structures import VOID, Supervision

POSITIVE_SHARE = 0.75
"""Weight of what belongs to a class; void queries have the rest."""


def mean_over_nonzero(losses: Tensor) -> Tensor:
    """Divides the sum by the number of entries that are not zero, or by 1."""
    return losses.sum() / losses.count_nonzero().clamp(min=1)


def class_loss(class_logits: Tensor, supervision: Supervision) -> Tensor:
    """Computes the PQ-weighted cross-entropy of the queries' classes.

    Args:
        class_logits: (Q, K + 1), void last.
    """
    target = supervision.class_target
    is_void = target == class_logits.shape[1] - 1
    balance = torch.where(is_void, 1 - POSITIVE_SHARE, POSITIVE_SHARE)
    cross_entropy = F.cross_entropy(class_logits, target, reduction="none")
    return mean_over_nonzero(cross_entropy * balance * supervision.class_weight)


def mask_losses(
    mask_logits: Tensor,
    supervision: Supervision,
    grid: tuple[int, int],
    *,
    masking_void: bool = True,
) -> tuple[Tensor, Tensor]:
    """Computes the mask cross-entropy and the Dice loss from one softmax over the queries.

    Args:
        mask_logits: (Q, h, w) at the stride of the prediction.
        grid: (H, W) of the targets.
        masking_void: Dice ignores the probabilities at void pixels.

    Returns:
        the two losses.
    """
    log_probs = resize_logits(mask_logits, grid).log_softmax(0)  # (Q, P)
    own_log_probs = log_probs.gather(0, supervision.query_map.clamp(min=0))  # (L, P)
    matched = supervision.mask_weight.nonzero().flatten()  # (A,): the others weigh nothing
    counted = supervision.coverage > 0 if masking_void else torch.ones_like(supervision.coverage)
    mass = log_probs[matched].exp() @ counted.to(log_probs.dtype)  # (A,)
    return (
        mask_loss(own_log_probs, supervision),
        dice_loss(own_log_probs, mass, matched, supervision),
    )


def mask_loss(own_log_probs: Tensor, supervision: Supervision) -> Tensor:
    """Computes the cross-entropy over the queries of each labelled pixel.

    Args:
        own_log_probs: (L, P) log-probability of the queries that own the pixel; any where void.
    """
    shares = pixel_shares(supervision.query_map, supervision.coverage)
    return mean_over_nonzero((shares * -own_log_probs).sum(0))


def dice_loss(
    own_log_probs: Tensor, mass: Tensor, matched: Tensor, supervision: Supervision
) -> Tensor:
    """Computes the PQ-weighted Dice loss of the matched queries.

    Args:
        own_log_probs: (L, P) log-probability of the queries that own the pixel; any where void.
        mass: (A,) probability that each matched query has on all pixels that count.
        matched: (A,) int64 queries.
    """
    query_map, queries = supervision.query_map, len(supervision.mask_weight)
    shares = pixel_shares(query_map, supervision.coverage)
    overlap = sum_by_query(shares * own_log_probs.exp(), query_map, queries)[matched]
    area = sum_by_query(shares, query_map, queries)[matched]
    dice = 1 - (2 * overlap + 1) / (mass + area + 1)
    return (dice @ supervision.mask_weight[matched]) * POSITIVE_SHARE / queries


def semantic_loss(
    logits: Tensor,
    semantic: Tensor,
    supervision: Supervision,
    *,
    samples: int,
    temperature: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Computes the semantic cross-entropy, of sampled pixels or of all.

    Args:
        logits: (K or K + 1, h, w), on the grid of the targets or a coarser one.
        semantic: (H, W) class of each pixel, VOID where unlabelled.
        supervision: of the final prediction: small segments are sampled more often.
        samples: number of pixels; 0 means all.
        temperature: exponent of the inverse area in the sampling.
        generator: on the device of the logits; None means PyTorch's global one.

    Raises:
        ValueError: the targets strided to the width of the logits do not have their shape.
    """
    strided = _stride_of(semantic.shape, logits.shape[1:])
    logits, target = logits.flatten(1), semantic[strided].flatten()
    if samples > 0:
        pixels = sample_pixels(
            supervision.inverse_area.view_as(semantic)[strided].flatten(),
            supervision.coverage.view_as(semantic)[strided].flatten() == 0,
            samples=samples,
            temperature=temperature,
            generator=generator,
        )
        logits, target = logits.index_select(1, pixels), target[pixels]
    losses = F.cross_entropy(logits.t(), target, ignore_index=VOID, reduction="none")
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
