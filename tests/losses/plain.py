"""The losses as they are defined, one-hot and in float64: slow and obvious, to compare with."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kmax_deeplab.losses import LossSettings
from kmax_deeplab.structures import HeadOutput, Prediction, Targets


@dataclass
class PlainTruth:
    """Ground truth of one image: classes (M,), binary masks (M, H, W), semantic map (H, W)."""

    classes: Tensor
    masks: Tensor
    semantic: Tensor

    def targets(self) -> Targets:
        return Targets.from_masks(self.classes, self.masks, self.semantic)


def random_output(
    sides: list[tuple[int, int]],
    *,
    images: int,
    queries: int = 6,
    classes: int = 4,
    semantic: tuple[int, int, int] | None = None,
) -> HeadOutput:
    """Makes leaf tensors: a prediction for each (h, w), and semantic logits (channels, h, w)."""

    def leaf(*shape: int) -> Tensor:
        return (2 * torch.randn(images, *shape)).requires_grad_()

    predictions = [
        Prediction(
            leaf(queries, classes + 1),
            leaf(queries, *side),
            F.normalize(torch.randn(images, 5, *side), dim=1).requires_grad_(),
        )
        for side in sides
    ]
    return HeadOutput(predictions, None if semantic is None else leaf(*semantic))


def random_truth(
    side: tuple[int, int], *, segments: int, classes: int = 4, overlapping: bool = False
) -> PlainTruth:
    """Makes masks with void between them; the semantic map is drawn on its own."""
    if overlapping:
        masks = torch.rand(segments, *side) < 0.3
    else:
        labels = torch.randint(-1, segments, side)
        masks = torch.stack([labels == segment for segment in range(segments)])
    return PlainTruth(
        torch.randint(0, classes, (segments,)), masks, torch.randint(-1, classes, side)
    )


def no_truth(side: tuple[int, int]) -> PlainTruth:
    """Makes an image without a segment."""
    nothing = torch.zeros(0, dtype=torch.long)
    return PlainTruth(nothing, torch.zeros(0, *side, dtype=torch.bool), torch.full(side, -1))


def plain_losses(
    output: HeadOutput, truths: list[PlainTruth], settings: LossSettings
) -> dict[str, Tensor]:
    """All losses when every pixel is sampled."""
    grid = tuple(truths[0].semantic.shape)
    dense = [_on_grid(prediction, grid) for prediction in output.predictions]
    per_image = [
        _plain_image_losses([[x[b] for x in p] for p in dense], truth, settings)
        for b, truth in enumerate(truths)
    ]
    if output.semantic_logits is not None:
        for b, truth in enumerate(truths):
            logits = output.semantic_logits[b].double()
            per_image[b]["loss_aux_semantic"] = settings.semantic_weight * _plain_semantic(
                logits, truth.semantic
            )
    return {name: torch.stack([x[name] for x in per_image]).mean() for name in per_image[0]}


def _on_grid(prediction: Prediction, grid: tuple[int, int]) -> list[Tensor]:
    def resize(maps: Tensor) -> Tensor:
        corners = grid[0] % 2 == 1
        maps = F.interpolate(maps.double(), grid, mode="bilinear", align_corners=corners)
        return maps.flatten(2)

    masks, features = resize(prediction.mask_logits), resize(prediction.pixel_feature)
    return [prediction.class_logits.double(), masks, features]


def _plain_image_losses(
    predictions: list[list[Tensor]], truth: PlainTruth, settings: LossSettings
) -> dict[str, Tensor]:
    losses = {}
    suffixes = [f"_{i}" for i in range(len(predictions) - 1)] + [""]
    for prediction, suffix in zip(predictions, suffixes, strict=True):
        if suffix and not settings.deep_supervision:
            continue
        matched = predictions[-1] if settings.share_final_matching else prediction
        target = _plain_supervision(matched[0].detach(), matched[1].detach(), truth, settings)
        own = _plain_terms(*prediction, *target, settings)
        losses |= {name + suffix: loss for name, loss in own.items()}
    return losses


def _plain_supervision(
    class_logits: Tensor, mask_logits: Tensor, truth: PlainTruth, settings: LossSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    masks = truth.masks.flatten(1).double()
    probs = mask_logits.softmax(0)
    seen = probs * (masks.sum(0) > 0)
    size = seen.sum(1)[:, None] + masks.sum(1)
    mask_similarity = (seen[:, None] * masks).sum(2) / (size / 2 + 1e-5)
    class_similarity = class_logits.softmax(1)[:, truth.classes]
    pairs = linear_sum_assignment((mask_similarity * class_similarity).numpy(), maximize=True)
    target = torch.zeros_like(probs)
    for query, segment in zip(*pairs, strict=True):
        target[query] = masks[segment]
    target = target / target.sum(0).clamp(min=1)
    void = target.sum(0) == 0
    class_target = torch.full((len(probs),), class_logits.shape[1] - 1)
    class_weight = (probs * void).sum(1) / (probs.sum(1) + 1e-5)
    mask_weight = torch.zeros(len(probs), dtype=torch.double)
    floor = settings.no_object_weight
    for query, segment in zip(*pairs, strict=True):
        class_target[query] = truth.classes[segment]
        class_weight[query] = mask_similarity[query, segment]
        mask_weight[query] = max(class_similarity[query, segment], floor)
    return target, class_target, class_weight.clamp(min=floor), mask_weight


def _plain_terms(
    class_logits: Tensor,
    mask_logits: Tensor,
    features: Tensor,
    target: Tensor,
    class_target: Tensor,
    class_weight: Tensor,
    mask_weight: Tensor,
    settings: LossSettings,
) -> dict[str, Tensor]:
    queries = len(target)
    labelled = target.sum(0) > 0
    balance = torch.where(class_target == class_logits.shape[1] - 1, 0.25, 0.75)
    ce = F.cross_entropy(class_logits, class_target, reduction="none") * balance * class_weight
    mask = -(target * mask_logits.log_softmax(0)).sum(0)
    probs = mask_logits.softmax(0)
    if settings.masking_void_pixel:
        probs = probs * labelled
    overlap = 2 * (probs * target).sum(1) + 1
    dice = 1 - overlap / (probs.sum(1) + target.sum(1) + 1)
    similarity = features.t() @ features / 0.3
    same = target.t() @ target
    same = same / same.sum(1, keepdim=True).clamp(min=1e-12)
    insdis = -(same * similarity.log_softmax(1)).sum(1)
    return {
        "loss_ce": settings.class_weight * _mean(ce),
        "loss_mask": settings.mask_weight * _mean(mask),
        "loss_dice": settings.dice_weight * (dice * mask_weight).sum() * 0.75 / queries,
        "loss_pixel_insdis": settings.insdis_weight * _mean(insdis),
    }


def _plain_semantic(logits: Tensor, semantic: Tensor) -> Tensor:
    stride = (semantic.shape[1] - 1) // (logits.shape[2] - 1)
    semantic = semantic[::stride, ::stride]
    picked = logits.log_softmax(0).gather(0, semantic.clamp(min=0)[None])[0]
    return _mean(-picked * (semantic >= 0))


def _mean(losses: Tensor) -> Tensor:
    return losses.sum() / max(int((losses != 0).sum()), 1)
