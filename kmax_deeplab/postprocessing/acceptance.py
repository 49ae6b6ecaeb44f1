"""Which queries become segments, decided on counts alone: pixels stay where they are; no torch."""

import math

import numpy as np

from kmax_deeplab.values import VOID


def most_holders(threshold: float, num_queries: int) -> int:
    """Returns H, how many queries can hold one pixel with more than `threshold`, which is ≥ 0."""
    if threshold * num_queries <= 1:
        return num_queries
    return max(math.ceil(1 / threshold) - 1, 1)


def accept(
    candidates: list[int], areas: list[int], holders: np.ndarray, counts: np.ndarray, overlap: float
) -> tuple[list[int], np.ndarray]:
    """Visits the candidates, accepting those with more than the share `overlap` of their mask free.

    Args:
        candidates: queries, the most confident first.
        areas: pixels of each query's mask.
        holders: (G, H) int64 queries that hold a group of contested pixels, VOID after the last.
        counts: (G,) int64 pixels of each group.

    Returns:
        Accepted queries in order; (G,) int64 owner of each contested group, VOID where none.
    """
    accepted, owners = [], np.full(len(counts), VOID)
    for query in candidates:
        mine = (holders == query).any(1)
        taken = counts[mine & (owners != VOID)].sum()
        area = areas[query]
        if area and (area - taken) / area > overlap:
            owners[mine & (owners == VOID)] = query
            accepted.append(query)
    return accepted, owners


def number(accepted: list[int], described: list[dict]) -> tuple[list[int], list[dict]]:
    """Gives every accepted query the next segment id; stuff joins the segment of its class.

    Args:
        accepted: queries, in order.
        described: what a segment of each of the Q queries is.

    Returns:
        Segment id of each query with a last 0, which VOID indexes; the segments.
    """
    id_of_query, id_of_stuff, segments = [0] * (len(described) + 1), {}, []
    for query in accepted:
        label = described[query]["category_id"]
        if label not in id_of_stuff:
            segments.append({"id": len(segments) + 1, **described[query]})
        id_of_query[query] = id_of_stuff.get(label, len(segments))
        if not described[query]["isthing"]:
            id_of_stuff[label] = id_of_query[query]
    return id_of_query, segments
