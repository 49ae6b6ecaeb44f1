"""The contract: the values that travel between the rooms of this package, and nothing else.

Shape letters used in every docstring: B batch, Q queries (cluster centres), C channels, K classes
(void is the extra last channel, index K), H W a grid, P = H*W its pixels, M segments of one image,
L layers of a segment map, S sampled pixels. A *grid* is the stride-4 grid unless said otherwise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kmax_deeplab.values import VOID as VOID
from kmax_deeplab.values import MergeThresholds as MergeThresholds


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

    def of(self, image: int) -> "Prediction":
        """Returns what it says about one image, as a batch of it alone."""
        alone = slice(image, image + 1)
        return Prediction(
            self.class_logits[alone], self.mask_logits[alone], self.pixel_feature[alone]
        )


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
        segment_map: (L, H, W) integer, index of a segment in [0, M), VOID where there is none. At
            every pixel the filled layers come first and name different segments.
        classes: (M,) integer contiguous class of each segment.
        semantic: (H, W) integer contiguous class of each pixel, VOID where unlabelled.
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


@dataclass(frozen=True)
class BatchedTargets:
    """Ground truth of a batch, padded to one shape; P pixels in one row.

    Attributes:
        segment_map: (B, L, P) integer, as in `Targets`; int64 on the device of the losses.
        classes: (B, M) likewise, M at least 1; 0 beyond an image's own segments.
        counts: segments of each image.
        semantic: (B, H, W) likewise.
    """

    segment_map: Tensor
    classes: Tensor
    counts: list[int]
    semantic: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the grid."""
        return tuple(self.semantic.shape[1:])

    @classmethod
    def of(cls, targets: list[Targets], multiple: int = 1) -> "BatchedTargets":
        """Gathers the targets of images, which are on one grid.

        Args:
            targets: of the images.
            multiple: that M is rounded up to, so that fewer shapes occur.
        """
        depth = max(len(target.segment_map) for target in targets)
        maps = [_deepen(target.segment_map, depth) for target in targets]
        counts = [len(target.classes) for target in targets]
        width = -(-max(*counts, 1) // multiple) * multiple
        places = [row * width + column for row, n in enumerate(counts) for column in range(n)]
        given = torch.cat([target.classes for target in targets])
        classes = given.new_zeros(len(targets) * width)
        if places:
            index = torch.tensor(places, device=given.device)
            classes = classes.index_copy(0, index, given)
        semantic = torch.stack([target.semantic for target in targets])
        return cls(torch.stack(maps).flatten(2), classes.view(-1, width), counts, semantic)

    def to(self, device: torch.device) -> "BatchedTargets":
        """Copies the maps to a device, where they become int64; a GPU does so by itself."""

        def copy(x: Tensor) -> Tensor:
            x = x.pin_memory() if device.type == "cuda" and x.is_cpu else x
            return x.to(device, non_blocking=True).long()

        maps = copy(self.segment_map), copy(self.classes)
        return BatchedTargets(*maps, self.counts, copy(self.semantic))


def _deepen(segment_map: Tensor, depth: int) -> Tensor:
    missing = depth - len(segment_map)
    if missing == 0:
        return segment_map
    return torch.cat([segment_map, segment_map.new_full((missing, *segment_map.shape[1:]), VOID)])


@dataclass(frozen=True)
class Match:
    """The assignment of queries to the segments of each image, with the similarities behind it.

    Attributes:
        segments: (B, Q) int64 segment of each query, VOID where it has none.
        queries: (B, A) int64 matched queries, A the most of an image; 0 beyond its own.
        is_pair: (B, A) bool, whether an entry of `queries` is one.
        mask_similarity: (B, Q) Dice of each query and its segment, in [0, 1]; any without one.
        class_similarity: (B, Q) probability that the query gives to the segment's class; likewise.
    """

    segments: Tensor
    queries: Tensor
    is_pair: Tensor
    mask_similarity: Tensor
    class_similarity: Tensor


@dataclass(frozen=True)
class Supervision:
    """Targets of a batch seen from the queries: what every prediction is compared with.

    Attributes:
        query_map: (B, L, P) int64, matched query that owns the pixel, VOID where none does.
        coverage: (B, P) float32, number of matched masks over the pixel; 0 is void.
        shares: (B, L, P) float32 target of each owner: overlapping masks share a pixel equally.
        areas: (B, Q) float32 pixels of each query, shared ones in parts.
        inverse_area: (B, P) float32, P / max(area of the pixel's segment, 1); P at void pixels.
        class_target: (B, Q) int64, class of the matched segment, K (void) elsewhere.
        class_weight: (B, Q) float32, PQ-style weight of the classification loss.
        mask_weight: (B, Q) float32, PQ-style weight of the mask losses; 0 for unmatched queries.
        queries, is_pair: (B, A), see `Match`.
    """

    query_map: Tensor
    coverage: Tensor
    shares: Tensor
    areas: Tensor
    inverse_area: Tensor
    class_target: Tensor
    class_weight: Tensor
    mask_weight: Tensor
    queries: Tensor
    is_pair: Tensor
