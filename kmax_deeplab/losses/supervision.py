"""Ground truth seen from the queries: padded targets as label maps, and PQ-style weights.

The match and the targets of a batch enter, with the mask probabilities that were matched; the
`Supervision` that every loss compares with leaves. Nothing here has a gradient.
"""

import torch
from torch import Tensor

from kmax_deeplab.structures import VOID, BatchedTargets, Match, Supervision

MASS_EPSILON = 1e-5


@torch.no_grad()
def build_supervision(
    mask_probs: Tensor,
    match: Match,
    targets: BatchedTargets,
    *,
    classes: int,
    no_object_weight: float,
) -> Supervision:
    """Turns a match into targets and weights of the losses.

    Args:
        mask_probs: (B, Q, P), softmax of the mask logits over the queries.
        match: the assignment.
        targets: the ground truth.
        classes: K, also the index of the void class.
        no_object_weight: least weight of a class loss, and of a matched query's mask loss.
    """
    is_matched, own = match.segments >= 0, match.segments.clamp(min=0)
    labels = targets.classes.gather(1, own)  # (B, Q)
    query_map = _map_queries(match, targets)
    coverage = (query_map >= 0).sum(1).to(mask_probs.dtype)  # (B, P)
    shares = (query_map >= 0) / coverage.clamp(min=1)[:, None]
    areas = sum_by_query(shares, query_map, mask_probs.shape[1])
    void_share = _void_share(mask_probs, coverage == 0)
    class_weight = torch.where(is_matched, match.mask_similarity, void_share)
    mask_weight = match.class_similarity.clamp(min=no_object_weight)
    return Supervision(
        query_map=query_map,
        coverage=coverage,
        shares=shares,
        areas=areas,
        inverse_area=_inverse_area(query_map, shares, areas),
        class_target=torch.where(is_matched, labels, classes),
        class_weight=class_weight.clamp(min=no_object_weight),
        mask_weight=torch.where(is_matched, mask_weight, 0.0),
        queries=match.queries,
        is_pair=match.is_pair,
    )


def sum_by_query(values: Tensor, query_map: Tensor, queries: int) -> Tensor:
    """Sums what each query owns; differentiable in the values.

    Args:
        values: (..., L, P), what is summed.
        query_map: (..., L, P) owners; pixels that are VOID are left out.
        queries: Q.

    Returns:
        (..., Q).
    """
    owners = (query_map % (queries + 1)).flatten(-2)  # VOID becomes the extra last entry
    sums = values.new_zeros(*owners.shape[:-1], queries + 1)
    return sums.scatter_add(-1, owners, values.flatten(-2))[..., :queries]


def _map_queries(match: Match, targets: BatchedTargets) -> Tensor:
    """Replaces each segment of the map by its query, unmatched ones by VOID: (B, L, P)."""
    images, segments = targets.classes.shape
    numbers = torch.arange(match.segments.shape[1], device=match.segments.device)
    owners = targets.classes.new_full((images, segments + 1), VOID)
    # Queries without a segment write into the last entry, which is VOID again afterwards.
    places = match.segments % (segments + 1)
    owners = owners.scatter(1, places, numbers.expand(images, -1))
    owners[:, segments] = VOID
    layers = targets.segment_map.shape[1]
    segment_map = (targets.segment_map % (segments + 1)).flatten(1)
    return owners.gather(1, segment_map).unflatten(1, (layers, -1))


def _void_share(mask_probs: Tensor, is_void: Tensor) -> Tensor:
    """Computes the share of each query's probability mass that lies on void pixels: (B, Q)."""
    on_void = (mask_probs @ is_void.to(mask_probs.dtype)[..., None])[..., 0]
    return on_void / (mask_probs.sum(2) + MASS_EPSILON)


def _inverse_area(query_map: Tensor, shares: Tensor, areas: Tensor) -> Tensor:
    """Computes pixels of the grid over area of the pixel's segment, at least one pixel: (B, P)."""
    owners = query_map.clamp(min=0).flatten(1)
    own_area = (shares * areas.gather(1, owners).view_as(shares)).sum(1)
    return shares.shape[-1] / own_area.clamp(min=1)
