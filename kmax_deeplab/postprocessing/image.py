"""Final predictions of one image enter, panoptic, semantic and instance results leave.

Class and mask probabilities are softmaxes over the classes and over the queries (kMaX-DeepLab,
section 3.2), and the three outputs read the same probabilities. The image is walked once, in
blocks; the semantic map is a product per block, and the other two outputs need only the few pairs
of pixel and query above the pixel threshold.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kmax_deeplab.postprocessing.holders import Holders
from kmax_deeplab.postprocessing.instances import InstanceMasks, best_instances
from kmax_deeplab.postprocessing.panoptic import merge
from kmax_deeplab.postprocessing.resize import Geometry, resized_blocks
from kmax_deeplab.structures import MergeThresholds

__all__ = ["Geometry", "InstanceMasks", "PostprocessedImage", "postprocess"]


@dataclass(frozen=True)
class PostprocessedImage:
    """Results of one image at the output size; None where not asked for.

    Attributes:
        panoptic: (height, width) int32 segment ids, 0 where void, and the segments in order of
            acceptance (see `panoptic.merge`).
        semantic: (K, height, width) float32 sum over queries of class times mask probability.
        instances: scored masks; of things only where the panoptic result was asked for too.
    """

    panoptic: tuple[Tensor, list[dict]] | None = None
    semantic: Tensor | None = None
    instances: InstanceMasks | None = None


@torch.no_grad()
def postprocess(
    class_logits: Tensor,
    mask_logits: Tensor,
    geometry: Geometry,
    thresholds: MergeThresholds,
    is_thing: Tensor,
    *,
    panoptic: bool = True,
    semantic: bool = False,
    instance: bool = False,
    detections_per_image: int = 100,
) -> PostprocessedImage:
    """Turns the final prediction of one image into the outputs asked for.

    Args:
        class_logits: (Q, K + 1), void last.
        mask_logits: (Q, h, w) at any stride of the padded input.
        geometry: where the image lies in the padded input, and the size of the output.
        thresholds: of the panoptic merge; `pixel` holds for instances too.
        is_thing: (K,) boolean.
        detections_per_image: most (query, class) pairs considered as instances.

    Raises:
        ValueError: the number of classes or queries differs between the arguments.
    """
    _check_shapes(class_logits, mask_logits, is_thing)
    with torch.autocast(mask_logits.device.type, enabled=False):
        is_thing = is_thing.to(mask_logits.device)
        class_probs = class_logits.float().softmax(-1)[:, :-1]
        threshold = thresholds.pixel if panoptic or instance else None
        weights = class_probs if semantic else None
        holders, semantic_map = _walk(mask_logits.float(), geometry, threshold, weights)
        merged = detections = None
        if panoptic:
            ids, segments = merge(holders, class_probs, thresholds, is_thing)
            merged = ids.view(geometry.output), segments
        if instance:
            allowed = is_thing if panoptic else torch.ones_like(is_thing)
            detections = best_instances(
                holders, class_probs, allowed, geometry.output, detections_per_image
            )
    return PostprocessedImage(merged, semantic_map, detections)


def _walk(
    mask_logits: Tensor, geometry: Geometry, threshold: float | None, class_probs: Tensor | None
) -> tuple[Holders | None, Tensor | None]:
    """Visits every output pixel once.

    Returns:
        Holders above the threshold if one is given; (K, height, width) semantic map if (Q, K)
        class probabilities are.
    """
    holders = semantic = None
    num_queries, num_pixels = len(mask_logits), geometry.output[0] * geometry.output[1]
    if threshold is not None:
        holders = Holders.nowhere(threshold, num_queries, num_pixels, mask_logits.device)
    if class_probs is not None:
        semantic = mask_logits.new_empty(class_probs.shape[1], num_pixels)
    for pixels, logits in resized_blocks(mask_logits, geometry):
        probs = torch.softmax(logits, -1, out=logits)  # (pixels, Q)
        if semantic is not None:
            torch.mm(class_probs.T, probs.T, out=semantic[:, pixels])
        if holders is not None:
            holders.fill(pixels, probs, threshold)
    return holders, None if semantic is None else semantic.unflatten(1, geometry.output)


def _check_shapes(class_logits: Tensor, mask_logits: Tensor, is_thing: Tensor) -> None:
    queries, logits = class_logits.shape
    if len(mask_logits) != queries:
        raise ValueError(f"{queries} rows of class logits, but {len(mask_logits)} masks")
    if len(is_thing) != logits - 1:
        raise ValueError(
            f"{len(is_thing)} classes in is_thing, but {logits} class logits: expected one more "
            "logit than classes, void last"
        )
