"""The contract: the values that travel between the rooms of this package, and nothing else.

Shape letters used in every docstring: B batch, Q queries (cluster centres), C channels, K classes
(void is the extra last channel, index K), H W a grid, P = H*W its pixels, M segments of one image,
L layers of a segment map, S sampled pixels. A *grid* is the stride-4 grid unless said otherwise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

VOID = -1
"""Value of a pixel without a segment in segment maps and without a class in semantic maps."""


@dataclass(frozen=True)
class Prediction:
    """What one k-means layer (or the final predictor) says about a batch.

    Attributes:
        class_logits: (B, Q, K + 1), void last.
        mask_logits: (B, Q, H, W) at the layer's own stride (32, 16, 8; 4 for the final one).
        pixel_feature: (B, C, H, W), L2-normalised over C.
    """

    class_logits: Tensor
    mask_logits: Tensor
    pixel_feature: Tensor


@dataclass(frozen=True)
class HeadOutput:
    """All predictions of a forward pass, in the order they are made: the last one is final.

    Attributes:
        predictions: one per k-means layer, then the final one.
        semantic_logits: (B, K or K + 1, h, w) of the auxiliary semantic head; None in evaluation.
    """

    predictions: list[Prediction]
    semantic_logits: Tensor | None = None


@dataclass(frozen=True)
class Targets:
    """Ground truth of one image on the stride-4 grid.

    Segments of a panoptic image are disjoint, so one label map holds them all (L = 1). Overlapping
    masks need as many maps as the deepest pile of masks at any pixel.

    Attributes:
        segment_map: (L, H, W) int64, index of a segment in [0, M), VOID where there is none. At
            every pixel the filled layers come first and name different segments.
        classes: (M,) int64 contiguous class of each segment.
        semantic: (H, W) int64 contiguous class of each pixel, VOID where unlabelled.
    """

    segment_map: Tensor
    classes: Tensor
    semantic: Tensor

    @classmethod
    def from_masks(cls, classes: Tensor, masks: Tensor, semantic: Tensor) -> "Targets":
        """Stacks binary masks into as few label maps as their overlaps need.

        Args:
            classes: (M,) integer classes.
            masks: (M, H, W) boolean, overlapping or not; M may be 0.
            semantic: (H, W) integer class of each pixel, VOID where unlabelled.
        """
        depth = masks.long().cumsum(0)  # (M, H, W): how many masks cover the pixel so far
        layers = max(int(depth[-1].max()), 1) if len(masks) else 1
        segment_map = torch.full((layers, *semantic.shape), VOID, device=semantic.device)
        for segment, mask in enumerate(masks.bool()):
            rows, columns = mask.nonzero(as_tuple=True)
            segment_map[depth[segment, rows, columns] - 1, rows, columns] = segment
        return cls(segment_map, classes.long(), semantic.long())

    def to(self, device: torch.device) -> "Targets":
        """Copies the maps to a device."""
        return Targets(
            *(
                t.to(device, non_blocking=True)
                for t in (self.segment_map, self.classes, self.semantic)
            )
        )


@dataclass(frozen=True)
class Match:
    """The assignment of queries to the segments of one image, with the similarities behind it.

    Attributes:
        queries: (A,) int64 matched queries, A = min(Q, M).
        segments: (A,) int64 their segments.
        mask_similarity: (A,) Dice of each matched pair, in [0, 1].
        class_similarity: (A,) probability the query gives to the segment's class, in [0, 1].
    """

    queries: Tensor
    segments: Tensor
    mask_similarity: Tensor
    class_similarity: Tensor


@dataclass(frozen=True)
class Supervision:
    """Targets of one image seen from the queries: what every prediction is compared with.

    Attributes:
        query_map: (L, P) int64, matched query that owns the pixel, VOID where none does.
        coverage: (P,) float32, number of matched masks over the pixel; 0 is void.
        inverse_area: (P,) float32, P / max(area of the pixel's segment, 1); P at void pixels.
        class_target: (Q,) int64, class of the matched segment, K (void) elsewhere.
        class_weight: (Q,) float32, PQ-style weight of the classification loss.
        mask_weight: (Q,) float32, PQ-style weight of the mask losses; 0 for unmatched queries.
    """

    query_map: Tensor
    coverage: Tensor
    inverse_area: Tensor
    class_target: Tensor
    class_weight: Tensor
    mask_weight: Tensor


@dataclass(frozen=True)
class MergeThresholds:
    """When a query becomes a segment (section "Panoptic merge"); all are probabilities or powers.

    Attributes:
        thing: least class score of an accepted thing, exclusive.
        stuff: least class score of accepted stuff, exclusive.
        pixel: least probability with which a query holds a pixel, exclusive.
        overlap: least share of a query's mask that must still be free, exclusive.
        class_power: exponent of the class score in the visiting order.
        mask_power: exponent of the mask score in the visiting order.
    """

    thing: float
    stuff: float
    pixel: float = 0.4
    overlap: float = 0.8
    class_power: float = 1.0
    mask_power: float = 1.0
