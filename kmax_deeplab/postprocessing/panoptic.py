"""Holders and class scores enter, the panoptic map and its segments leave (panoptic merge).

Queries are visited from the most to the least confident; a pixel belongs to the first accepted
query that holds it. Pixels with the same several holders share their fate, so the visits happen on
the host, on as many groups as there are such sets of holders, whatever the size of the image.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kmax_deeplab.postprocessing.acceptance import accept, number
from kmax_deeplab.postprocessing.holders import Holders
from kmax_deeplab.structures import VOID, MergeThresholds


@dataclass(frozen=True)
class Contest:
    """The pixels with several holders, in G groups of the same ones.

    Attributes:
        pixels: (D,) int64, on the device.
        group_of_pixel: (D,) int64, likewise.
        holders: (G, H) int64 on the host, VOID after the last.
        counts: (G,) int64 pixels, on the host.
    """

    pixels: Tensor
    group_of_pixel: Tensor
    holders: np.ndarray
    counts: np.ndarray


def merge(
    holders: Holders, class_probs: Tensor, thresholds: MergeThresholds, is_thing: Tensor
) -> tuple[Tensor, list[dict]]:
    """Turns queries into disjoint segments.

    Args:
        holders: of the whole image, at `thresholds.pixel`.
        class_probs: (Q, K) softmax over K + 1 classes, void dropped.
        is_thing: (K,) boolean.

    Returns:
        (P,) int32 segment ids, 0 where void, and one mapping per segment in order of acceptance:
        "id", "isthing", "category_id", which is contiguous, and of its most confident query the
        index, "query", and class score times mask score, "score".
    """
    scores, labels = class_probs.max(1)
    confidences = (scores * mask_scores(holders)).tolist()
    limits = torch.where(is_thing[labels], thresholds.thing, thresholds.stuff)
    order = visiting_order(holders, scores, thresholds)
    table = torch.stack([order, (scores > limits)[order], holders.areas, labels, is_thing[labels]])
    order, is_candidate, areas, labels, things = table.tolist()  # one transfer
    candidates = [query for query, may in zip(order, is_candidate, strict=True) if may]
    contest = _find_contest(holders)
    accepted, owners = accept(
        candidates, areas, contest.holders, contest.counts, thresholds.overlap
    )
    described = [
        {"isthing": bool(thing), "category_id": label, "query": query, "score": score}
        for query, (thing, label, score) in enumerate(zip(things, labels, confidences, strict=True))
    ]
    id_of_query, segments = number(accepted, described)

    device = holders.queries.device
    ids = torch.tensor(id_of_query, dtype=torch.int32, device=device)
    panoptic = ids[holders.queries[0]]
    owners = torch.from_numpy(owners).to(device)
    panoptic[contest.pixels] = ids[owners[contest.group_of_pixel]]
    return panoptic, segments


def visiting_order(holders: Holders, scores: Tensor, thresholds: MergeThresholds) -> Tensor:
    """Ranks queries by class score ** class_power * mask score ** mask_power, ties by index.

    The mask score is 0 for an empty mask.

    Args:
        scores: (Q,) class scores.

    Returns:
        (Q,) int64 queries, the most confident first.
    """
    rank = scores**thresholds.class_power * mask_scores(holders) ** thresholds.mask_power
    return torch.argsort(rank, descending=True, stable=True)


def mask_scores(holders: Holders) -> Tensor:
    """Returns the mean probability of each query over its binary mask, (Q,) float32."""
    return (holders.prob_sums / holders.areas.clamp(min=1)).float()


def _find_contest(holders: Holders) -> Contest:
    """Groups the pixels with several holders by who these are."""
    if len(holders.queries) == 1:
        pixels = holders.queries.new_empty(0)
    else:
        pixels = (holders.queries[1] != VOID).nonzero()[:, 0]
    several = holders.queries[:, pixels].sort(0, descending=True).values  # in one order
    count, base = len(several), holders.num_queries + 1
    if base**count < 2**63:  # one number says who they are, and numbers are sorted faster
        powers = base ** torch.arange(count, device=several.device)
        codes = ((several - VOID) * powers[:, None]).sum(0)
        found, group_of_pixel, counts = codes.unique(return_inverse=True, return_counts=True)
        found = found // powers[:, None] % base + VOID
    else:
        found, group_of_pixel, counts = several.unique(
            dim=1, return_inverse=True, return_counts=True
        )
    return Contest(pixels, group_of_pixel, found.T.cpu().numpy(), counts.cpu().numpy())
