"""Which query answers for which segment: the bipartite matching (paper, section "Training").

Class logits and mask probabilities of a batch enter, with its ground truth; one `Match` per image
leaves, with the similarities that the PQ-style weights are made of. Nothing here has a gradient.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kmax_deeplab.structures import Match, Targets

DICE_EPSILON = 1e-5


@torch.no_grad()
def match_segments(
    class_logits: Tensor, mask_probs: list[Tensor], targets: list[Targets]
) -> list[Match]:
    """Assigns queries to segments so that mask similarity times class similarity is greatest.

    Args:
        class_logits: (B, Q, K + 1).
        mask_probs: per image (Q, P), softmax of the mask logits over the queries.
        targets: per image, on the same grid and device.

    Raises:
        FloatingPointError: a similarity is not finite.
    """
    masks = [mask_similarity(p, t) for p, t in zip(mask_probs, targets, strict=True)]
    class_probs = class_logits.softmax(-1)
    classes = [p[:, t.classes] for p, t in zip(class_probs, targets, strict=True)]
    pairs = _assign([m * c for m, c in zip(masks, classes, strict=True)])
    return [
        Match(queries, segments, mask[queries, segments], by_class[queries, segments])
        for (queries, segments), mask, by_class in zip(pairs, masks, classes, strict=True)
    ]


def mask_similarity(mask_probs: Tensor, targets: Targets) -> Tensor:
    """Computes the Dice overlap of every query with every segment; void pixels do not count.

    Args:
        mask_probs: (Q, P).
        targets: ground truth of the image.

    Returns:
        (Q, M) in [0, 1].
    """
    segments = len(targets.classes)
    segment_map = targets.segment_map.flatten(1)  # (L, P)
    masks = mask_probs.new_zeros(segments + 1, segment_map.shape[1])
    masks = masks.scatter_(0, segment_map % (segments + 1), 1)[:segments]  # VOID is the last row
    labelled = (segment_map[0] >= 0).to(mask_probs.dtype)  # the first layer is filled first
    mass = (mask_probs @ labelled)[:, None] + masks.sum(1)  # (Q, M)
    return mask_probs @ masks.t() / (mass / 2 + DICE_EPSILON)


def _assign(scores: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Solves the assignment of every image on the host, with one transfer there and one back.

    Args:
        scores: per image (Q, M), greatest sum wanted.

    Returns:
        per image (A,) queries and (A,) segments, int64 on the device of the scores.
    """
    flat = torch.cat([score.flatten() for score in scores]).cpu().numpy()
    if not np.isfinite(flat).all():
        raise FloatingPointError(
            "matching scores are not finite: training has diverged; look for bad input images or "
            "weights, or lower the learning rate"
        )
    ends = np.cumsum([score.numel() for score in scores])[:-1]
    solved = [
        np.stack(linear_sum_assignment(part.reshape(tuple(score.shape)), maximize=True))
        for part, score in zip(np.split(flat, ends), scores, strict=True)
    ]  # (2, A) each
    pairs = torch.from_numpy(np.concatenate(solved, 1)).to(scores[0].device)
    return [(p[0], p[1]) for p in pairs.split([s.shape[1] for s in solved], 1)]
