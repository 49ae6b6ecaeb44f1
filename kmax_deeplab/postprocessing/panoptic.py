"""Holdings and class scores enter, the panoptic map and its segments leave (panoptic merge).

Queries are visited from the most to the least confident; a pixel belongs to the first accepted
query that holds it. Only pixels with several holders depend on the order of the visits, and they
are few: those alone travel to the host, where the visits happen.
"""

import torch
from torch import Tensor

from kmax_deeplab.postprocessing.holdings import Holdings
from kmax_deeplab.structures import VOID, MergeThresholds


def merge(
    holdings: Holdings,
    class_probs: Tensor,
    thresholds: MergeThresholds,
    is_thing: Tensor,
    num_pixels: int,
) -> tuple[Tensor, list[dict]]:
    """Turns queries into disjoint segments.

    Args:
        holdings: of the whole image, at `thresholds.pixel`.
        class_probs: (Q, K) softmax over K + 1 classes, void dropped.
        is_thing: (K,) boolean.
        num_pixels: P of the output image.

    Returns:
        (P,) int32 segment ids, 0 where void, and one {"id", "isthing", "category_id"} per segment
        in order of acceptance; `category_id` is contiguous.
    """
    scores, labels = class_probs.max(1)
    limits = torch.where(is_thing[labels], thresholds.thing, thresholds.stuff)
    order = visiting_order(holdings, scores, thresholds)
    candidates = order[(scores > limits)[order]].tolist()
    pixels, groups = _contested_pixels(holdings)
    areas = holdings.areas.tolist()
    accepted, owners = _accept(candidates, areas, groups, len(pixels), thresholds.overlap)
    id_of_query, segments = _number(accepted, labels.tolist(), is_thing.tolist())

    ids = torch.tensor(id_of_query, dtype=torch.int32, device=pixels.device)
    panoptic = torch.zeros(num_pixels, dtype=torch.int32, device=pixels.device)
    panoptic[holdings.pixels] = ids[holdings.queries]
    panoptic[pixels] = ids[owners.to(pixels.device)]
    return panoptic, segments


def visiting_order(holdings: Holdings, scores: Tensor, thresholds: MergeThresholds) -> Tensor:
    """Ranks queries by class score ** class_power * mask score ** mask_power, ties by index.

    The mask score is the mean probability over the binary mask, 0 for an empty one.

    Args:
        scores: (Q,) class scores.

    Returns:
        (Q,) int64 queries, the most confident first.
    """
    mask_scores = (holdings.prob_sums / holdings.areas.clamp(min=1)).float()
    rank = scores**thresholds.class_power * mask_scores**thresholds.mask_power
    return torch.argsort(rank, descending=True, stable=True)


def _contested_pixels(holdings: Holdings) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Finds the D pixels with several holders, and for each query the positions of its own in them.

    Returns:
        (D,) int64 pixels, and for each of the Q queries a host tensor of positions in [0, D).
    """
    repeats = holdings.pixels[1:] == holdings.pixels[:-1]
    contested = torch.zeros_like(holdings.pixels, dtype=torch.bool)
    contested[1:] |= repeats
    contested[:-1] |= repeats
    queries = holdings.queries[contested]
    pixels, positions = torch.unique_consecutive(holdings.pixels[contested], return_inverse=True)
    counts = torch.bincount(queries, minlength=holdings.num_queries).tolist()
    return pixels, positions[torch.argsort(queries)].cpu().split(counts)


def _accept(
    candidates: list[int],
    areas: list[int],
    groups: tuple[Tensor, ...],
    num_contested: int,
    overlap: float,
) -> tuple[list[int], Tensor]:
    """Visits the candidates, accepting those with more than the share `overlap` of their mask free.

    Returns:
        Accepted queries in order; (D,) int64 owner of each contested pixel, VOID where none.
    """
    accepted, owners = [], torch.full((num_contested,), VOID)
    for query in candidates:
        mine = groups[query]
        free = mine[owners[mine] == VOID]
        area = areas[query]
        if area and (area - len(mine) + len(free)) / area > overlap:
            owners[free] = query
            accepted.append(query)
    return accepted, owners


def _number(
    accepted: list[int], labels: list[int], is_thing: list[bool]
) -> tuple[list[int], list[dict]]:
    """Gives every accepted query the next segment id; stuff joins the segment of its class.

    Returns:
        Segment id of each of the Q queries with a last 0, which VOID indexes; the segments.
    """
    id_of_query, id_of_stuff, segments = [0] * (len(labels) + 1), {}, []
    for query in accepted:
        label = labels[query]
        if label not in id_of_stuff:
            segment = {"id": len(segments) + 1, "isthing": is_thing[label], "category_id": label}
            segments.append(segment)
        id_of_query[query] = id_of_stuff.get(label, len(segments))
        if not is_thing[label]:
            id_of_stuff[label] = id_of_query[query]
    return id_of_query, segments
