"""Which query answers for which segment: the bipartite matching (paper, section "Training").

Class logits and mask probabilities of a batch enter, with its ground truth; a `Match` leaves, with
the similarities that the PQ-style weights are made of. Nothing here has a gradient.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kmax_deeplab.structures import VOID, BatchedTargets, Match

DICE_EPSILON = 1e-5


@torch.no_grad()
def match_segments(class_logits: Tensor, mask_probs: Tensor, targets: BatchedTargets) -> Match:
    """Assigns queries to segments so that mask similarity times class similarity is greatest.

    Args:
        class_logits: (B, Q, K + 1).
        mask_probs: (B, Q, P), softmax of the mask logits over the queries.
        targets: on the same grid and device.
    """
    by_mask = mask_similarity(mask_probs, targets)  # (B, Q, M)
    wanted = targets.classes[:, None].expand(-1, class_logits.shape[1], -1)
    by_class = class_logits.softmax(-1).gather(2, wanted)  # (B, Q, M)
    segments, queries, is_pair = _assign(by_mask * by_class, targets.counts)
    own = segments.clamp(min=0)[..., None]  # (B, Q, 1)
    return Match(
        segments, queries, is_pair, by_mask.gather(2, own)[..., 0], by_class.gather(2, own)[..., 0]
    )


def mask_similarity(mask_probs: Tensor, targets: BatchedTargets) -> Tensor:
    """Computes the Dice overlap of every query with every segment; void pixels do not count.

    Args:
        mask_probs: (B, Q, P).
        targets: ground truth.

    Returns:
        (B, Q, M) in [0, 1].
    """
    (images, _, pixels), segments = targets.segment_map.shape, targets.classes.shape[1]
    masks = mask_probs.new_zeros(images, segments + 1, pixels)
    owners = targets.segment_map % (segments + 1)  # VOID is the last row
    masks = masks.scatter_(1, owners, 1)[:, :segments]
    labelled = (targets.segment_map[:, 0] >= 0).to(mask_probs.dtype)  # layers fill from the first
    mass = mask_probs @ labelled[..., None] + masks.sum(2)[:, None]  # (B, Q, M)
    return mask_probs @ masks.transpose(1, 2) / (mass / 2 + DICE_EPSILON)


@torch.compiler.disable
def _assign(scores: Tensor, counts: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Solves the assignment of every image on the host, with one transfer there and one back.

    Args:
        scores: (B, Q, M), greatest sum wanted.
        counts: segments of each image.

    Returns:
        (B, Q) segments, (B, A) queries and (B, A) pairs, on the device of the scores.
    """
    # What is not finite makes losses that are not: whoever reads these decides.
    host = np.nan_to_num(scores.cpu().numpy())
    images, total, segments = host.shape
    pairs = min(total, segments)
    solved = np.full((images, total + 2 * pairs), VOID, dtype=np.int64)
    solved[:, total:] = 0
    for row, score, count in zip(solved, host, counts, strict=True):
        queries, segments = linear_sum_assignment(score[:, :count], maximize=True)
        row[queries] = segments
        row[total : total + len(queries)] = queries
        row[total + pairs : total + pairs + len(queries)] = 1
    found = torch.from_numpy(solved)
    found = found.pin_memory() if scores.is_cuda else found
    found = found.to(scores.device, non_blocking=True)
    segments, queries, is_pair = found.split([total, pairs, pairs], 1)
    return segments, queries, is_pair > 0
