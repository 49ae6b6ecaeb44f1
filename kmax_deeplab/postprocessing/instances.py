"""Holders and class probabilities enter, scored instance masks leave."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kmax_deeplab.postprocessing.holders import Holders
from kmax_deeplab.structures import VOID


@dataclass(frozen=True)
class InstanceMasks:
    """The detections of one image, best class probability first.

    Attributes:
        scores: (n,) float32 class probability times mean probability over the mask.
        classes: (n,) int64 contiguous.
        masks: (n, height, width) boolean, overlapping or not.
    """

    scores: Tensor
    classes: Tensor
    masks: Tensor

    @property
    def boxes(self) -> Tensor:
        """(n, 4) float32 left, top, right and bottom of each mask in pixels, ends exclusive; 0 for
        an empty one.
        """
        (left, right), (top, bottom) = (_extent(self.masks.any(axis)) for axis in (1, 2))
        return torch.stack([left, top, right, bottom], 1).float()


def _extent(is_used: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first used place of each row of (n, places), and the one after the last."""
    used, places = is_used.byte(), is_used.shape[1]
    last = places - used.flip(1).argmax(1)
    return used.argmax(1), torch.where(is_used.any(1), last, 0)


def best_instances(
    holders: Holders,
    class_probs: Tensor,
    allowed: Tensor,
    output: tuple[int, int],
    detections_per_image: int,
) -> InstanceMasks:
    """Takes the best (query, class) pairs of all, then keeps those of allowed classes.

    Args:
        holders: of the whole image.
        class_probs: (Q, K) softmax over K + 1 classes, void dropped.
        allowed: (K,) boolean classes that may be reported.
        output: (height, width) of the masks in pixels.
    """
    num_pairs = min(detections_per_image, class_probs.numel())
    probs, pairs = class_probs.flatten().topk(num_pairs)
    queries, classes = pairs // class_probs.shape[1], pairs % class_probs.shape[1]
    kept = allowed[classes]
    probs, queries, classes = probs[kept], queries[kept], classes[kept]
    mask_scores = (holders.prob_sums / (holders.areas + 1e-6)).float()
    masks = _binary_masks(holders, queries, output[0] * output[1]).unflatten(1, output)
    return InstanceMasks(probs * mask_scores[queries], classes, masks)


def _binary_masks(holders: Holders, queries: Tensor, num_pixels: int) -> Tensor:
    """Draws the mask of each listed query, (n, P) boolean; a query may be listed several times."""
    numbers = torch.arange(len(queries), device=queries.device)
    same = queries[:, None] == queries  # (n, n)
    # (n,): earliest row of the same query; of no row at all there is none to reduce
    first = torch.where(same, numbers, len(queries)).amin(1) if len(queries) else numbers
    row_of_query = torch.zeros(holders.num_queries + 1, dtype=torch.long, device=queries.device)
    row_of_query[queries - VOID] = first + 1  # 0 takes the pixels of all others
    masks = torch.zeros(len(queries) + 1, num_pixels, dtype=torch.bool, device=queries.device)
    masks.scatter_(0, row_of_query[holders.queries - VOID], True)
    masks = masks[1:]
    repeated = first != numbers
    masks[repeated] = masks[first[repeated]]
    return masks
