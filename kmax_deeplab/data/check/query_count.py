"""How many queries images ask for: "segments_info" enters, counts and a proposal leave.

Every labelled thing and every class of stuff of an image needs a query of its own (the one-to-one
matching of training); what exceeds the model's number can neither be learnt nor found.
"""

from collections.abc import Sequence

import numpy as np

STEP = 32
"""Proposed numbers of queries are multiples of it."""
KEY = "MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES"


def propose_queries(needed: Sequence[int]) -> int:
    """Returns the least multiple of STEP, but not 0, that is enough for every image."""
    return -(-max([1, *needed]) // STEP) * STEP


def describe_excess(name: str, needed: Sequence[int], num_queries: int) -> str:
    """Says how many images ask for more queries than a model has.

    Args:
        name: of the dataset.
        needed: queries that each image needs.
        num_queries: of the model.

    Returns:
        A sentence; empty if all images can be served.
    """
    crowded = [count - num_queries for count in needed if count > num_queries]
    if not crowded:
        return ""
    return (
        f"{name}: {len(crowded)} of {len(needed)} images have more segments than the model has "
        f"queries, {num_queries} (up to {max(needed)}; {sum(crowded)} of {sum(needed)} segments "
        f"exceed it and can neither be learnt nor found): {KEY} {propose_queries(needed)} is enough"
    )


def describe_distribution(needed: Sequence[int]) -> str:
    """Says how many queries images ask for, from the least to the most."""
    if not needed:
        return "no image"
    shares = ("least", 0), ("half need at most", 50), ("95% at most", 95), ("most", 100)
    return ", ".join(
        f"{what} {int(np.percentile(needed, share, method='higher'))}" for what, share in shares
    )
