"""Ground truth seen from the queries: padded targets as label maps, and PQ-style weights.

The match and the targets of an image enter, with the mask probabilities that were matched; the
`Supervision` that every loss compares with leaves. Nothing here has a gradient.
"""

import torch
from torch import Tensor

from kmax_deeplab.structures import VOID, Match, Supervision, Targets

MASS_EPSILON = 1e-5


@torch.no_grad()
def build_supervision(
    mask_probs: Tensor, match: Match, targets: Targets, *, classes: int, no_object_weight: float
) -> Supervision:
    """Turns a match into targets and weights of the losses of one image.

    Args:
        mask_probs: (Q, P), softmax of the mask logits over the queries.
        match: the assignment of this image.
        targets: its ground truth.
        classes: K, also the index of the void class.
        no_object_weight: least weight of a class loss, and of a matched query's mask loss.
    """
    queries, labels = match.queries, targets.classes[match.segments]
    query_map = _map_queries(match, targets)
    coverage = (query_map >= 0).sum(0).to(mask_probs.dtype)
    class_target = labels.new_full((len(mask_probs),), classes)
    class_weight = _void_share(mask_probs, coverage == 0)
    class_weight = class_weight.index_copy(0, queries, match.mask_similarity)
    mask_weight = match.class_similarity.clamp(min=no_object_weight)
    return Supervision(
        query_map=query_map,
        coverage=coverage,
        inverse_area=_inverse_area(query_map, coverage, len(mask_probs)),
        class_target=class_target.index_copy(0, queries, labels),
        class_weight=class_weight.clamp(min=no_object_weight),
        mask_weight=torch.zeros_like(class_weight).index_copy(0, queries, mask_weight),
    )


def pixel_shares(query_map: Tensor, coverage: Tensor) -> Tensor:
    """Computes the target value of each owner of a pixel: overlapping masks share it equally.

    Args:
        query_map: (L, P) owners, VOID where there is none.
        coverage: (P,) number of owners.

    Returns:
        (L, P), summing to 1 over the layers at labelled pixels and to 0 at void ones.
    """
    return (query_map >= 0) / coverage.clamp(min=1)


def sum_by_query(values: Tensor, query_map: Tensor, queries: int) -> Tensor:
    """Sums what each query owns; differentiable in the values.

    Args:
        values: (L, P, ...), what is summed.
        query_map: (L, P) owners; pixels that are VOID are left out.
        queries: Q.

    Returns:
        (Q, ...).
    """
    owners = query_map.flatten() % (queries + 1)  # VOID becomes the extra last row
    sums = values.new_zeros(queries + 1, *values.shape[2:])
    return sums.index_add(0, owners, values.flatten(0, 1))[:queries]


def _map_queries(match: Match, targets: Targets) -> Tensor:
    """Replaces each segment of the map by its query, unmatched ones by VOID: (L, P)."""
    owners = targets.classes.new_full((len(targets.classes) + 1,), VOID)
    owners = owners.index_copy(0, match.segments, match.queries)
    return owners[targets.segment_map.flatten(1)]  # VOID reads the last entry, which is VOID


def _void_share(mask_probs: Tensor, is_void: Tensor) -> Tensor:
    """Computes the share of each query's probability mass that lies on void pixels: (Q,)."""
    return mask_probs @ is_void.to(mask_probs.dtype) / (mask_probs.sum(1) + MASS_EPSILON)


def _inverse_area(query_map: Tensor, coverage: Tensor, queries: int) -> Tensor:
    """Computes pixels of the grid over area of the pixel's segment, at least one pixel: (P,)."""
    shares = pixel_shares(query_map, coverage)
    areas = sum_by_query(shares, query_map, queries)  # (Q,)
    own_area = (shares * areas[query_map.clamp(min=0)]).sum(0)
    return len(coverage) / own_area.clamp(min=1)
