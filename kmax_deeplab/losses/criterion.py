"""The training criterion: every prediction of the head against the ground truth of the batch.

Head output and targets enter, weighted losses under the released names leave. Float32 begins here,
whatever the precision of the forward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from kmax_deeplab.losses.grid import resize_logits, sample_bilinear, sample_pixels
from kmax_deeplab.losses.instance_discrimination import instance_discrimination_loss
from kmax_deeplab.losses.matching import match_segments
from kmax_deeplab.losses.supervision import build_supervision
from kmax_deeplab.losses.terms import class_loss, mask_losses, semantic_loss
from kmax_deeplab.noise import INSTANCE_PIXELS, draw_seeds
from kmax_deeplab.structures import (
    BatchedTargets,
    HeadOutput,
    Prediction,
    Supervision,
    Targets,
)

SEGMENTS_AT_ONCE = 32
"""Compiled losses know images with as many segments, twice as many, …; each is compiled anew."""


@dataclass(frozen=True)
class LossSettings:
    """What a recipe decides about the losses.

    Attributes:
        class_weight: weight of `loss_ce`.
        mask_weight: weight of `loss_mask`.
        dice_weight: weight of `loss_dice`.
        insdis_weight: weight of `loss_pixel_insdis`.
        semantic_weight: weight of `loss_aux_semantic`.
        no_object_weight: least PQ-style weight of a query.
        deep_supervision: whether the k-means layers have losses too.
        share_final_matching: whether the matching of the final prediction serves all layers.
        masking_void_pixel: whether the Dice loss ignores void pixels.
        insdis_samples: pixels drawn for each instance discrimination loss of an image.
        insdis_temperature: exponent of the inverse segment area in that drawing.
        semantic_samples: pixels drawn for the semantic loss of an image; 0 means all.
        semantic_temperature: exponent of the inverse segment area in that drawing.
    """

    class_weight: float = 3.0
    mask_weight: float = 0.3
    dice_weight: float = 3.0
    insdis_weight: float = 1.0
    semantic_weight: float = 1.0
    no_object_weight: float = 1e-5
    deep_supervision: bool = True
    share_final_matching: bool = True
    masking_void_pixel: bool = True
    insdis_samples: int = 4096
    insdis_temperature: float = 1.5
    semantic_samples: int = 4096
    semantic_temperature: float = 2.0


def compute_losses(
    output: HeadOutput,
    targets: list[Targets],
    settings: LossSettings,
    seeds: Tensor | None = None,
) -> dict[str, Tensor]:
    """Computes all losses of a batch, each times its weight; their plain sum is minimised.

    Args:
        output: predictions of the head, the final one last, of any floating-point type.
        targets: per image, all on one grid.
        settings: weights and switches of the recipe.
        seeds: (B,) int64, one an image, which decide what pixels are sampled; None draws them
            from PyTorch's global generator.

    Returns:
        float32 scalars, means over the images of this rank: `loss_ce`, `loss_mask`, `loss_dice` and
        `loss_pixel_insdis` of the final prediction, `loss_aux_semantic` if there are semantic
        logits, and the first four with suffix `_{i}` for k-means layer i, counted from 0.

    Raises:
        ValueError: the targets do not fit the output or each other.
    """
    batch = _gather_targets(output, targets)
    with torch.autocast(batch.semantic.device.type, enabled=False):
        return _compute_in_float32(output, batch, settings, _seeds_for(batch, seeds))


def compile_losses(settings: LossSettings, **options: object) -> Callable[..., dict[str, Tensor]]:
    """Compiles `compute_losses`, all of it but the assignment, which the host makes.

    Args:
        settings: weights and switches of the recipe.
        **options: of `torch.compile`.
    """
    compute = torch.compile(_compute_in_float32, **options)

    def compute_compiled(
        output: HeadOutput, targets: list[Targets], seeds: Tensor | None = None
    ) -> dict[str, Tensor]:
        batch = _gather_targets(output, targets, SEGMENTS_AT_ONCE)
        with torch.autocast(batch.semantic.device.type, enabled=False):
            return compute(output, batch, settings, _seeds_for(batch, seeds))

    return compute_compiled


def _seeds_for(targets: BatchedTargets, seeds: Tensor | None) -> Tensor:
    device, images = targets.semantic.device, len(targets.semantic)
    return draw_seeds(images).to(device) if seeds is None else seeds


def _gather_targets(
    output: HeadOutput, targets: list[Targets], multiple: int = 1
) -> BatchedTargets:
    """Gathers the targets of a batch where its output is; refuses those of another."""
    images = len(output.predictions[-1].class_logits)
    grids = {tuple(t.semantic.shape) for t in targets}
    if len(targets) != images or len(grids) != 1:
        raise ValueError(
            f"{images} images have {len(targets)} targets on grids {sorted(grids)}; "
            "give one target per image, all of the same height and width"
        )
    device = output.predictions[-1].class_logits.device
    return BatchedTargets.of(targets, multiple).to(device)


def _to_float32(output: HeadOutput) -> HeadOutput:
    """Casts what a forward pass under autocast has made; float32 stays as it is."""
    predictions = [
        Prediction(p.class_logits.float(), p.mask_logits.float(), p.pixel_feature.float())
        for p in output.predictions
    ]
    semantic = output.semantic_logits
    return HeadOutput(predictions, None if semantic is None else semantic.float())


def _compute_in_float32(
    output: HeadOutput,
    targets: BatchedTargets,
    settings: LossSettings,
    seeds: Tensor,
) -> dict[str, Tensor]:
    """Computes the losses of the final prediction and of the k-means layers."""
    output = _to_float32(output)
    final, *layers = reversed(output.predictions)
    layers = layers[::-1] if settings.deep_supervision else []
    shared = supervise(final, targets, settings)
    if settings.share_final_matching:
        judged = [([final, *layers], shared)]
    else:
        judged = [([final], shared), *(([x], supervise(x, targets, settings)) for x in layers)]
    found = [
        losses
        for together, supervision in judged
        for losses in prediction_losses(together, supervision, targets.grid, settings, seeds)
    ]
    losses = found[0]
    if output.semantic_logits is not None:
        losses["loss_aux_semantic"] = (
            settings.semantic_weight
            * semantic_loss(
                output.semantic_logits,
                targets.semantic,
                shared,
                samples=settings.semantic_samples,
                temperature=settings.semantic_temperature,
                seeds=seeds,
            ).mean()
        )
    for i, own in enumerate(found[1:]):
        losses |= {f"{name}_{i}": loss for name, loss in own.items()}
    return losses


@torch.no_grad()
def supervise(
    prediction: Prediction, targets: BatchedTargets, settings: LossSettings
) -> Supervision:
    """Matches a prediction with the ground truth and says what it should have been.

    Args:
        prediction: float32, of the whole batch.
        targets: of the batch.
        settings: its `no_object_weight` is used.
    """
    mask_probs = resize_logits(prediction.mask_logits, targets.grid).softmax(1)  # (B, Q, P)
    match = match_segments(prediction.class_logits, mask_probs, targets)
    return build_supervision(
        mask_probs,
        match,
        targets,
        classes=prediction.class_logits.shape[2] - 1,
        no_object_weight=settings.no_object_weight,
    )


def prediction_losses(
    predictions: list[Prediction],
    supervision: Supervision,
    grid: tuple[int, int],
    settings: LossSettings,
    seeds: Tensor,
) -> list[dict[str, Tensor]]:
    """Computes the four weighted losses of predictions, means over the images.

    Args:
        predictions: G of them, float32, of the whole batch, each at its own stride.
        supervision: of all of them.
        grid: (H, W) of the targets.
        settings: weights and switches of the recipe.
        seeds: (B,) int64, one an image.

    Returns:
        of each prediction, scalars under the names of the final prediction's losses.
    """
    class_logits = torch.stack([p.class_logits for p in predictions])  # (G, B, Q, K + 1)
    masks, dice = mask_losses(
        stack_by_size([p.mask_logits for p in predictions]),
        supervision,
        grid,
        masking_void=settings.masking_void_pixel,
    )
    features = stack_by_size([in_its_layout(p.pixel_feature) for p in predictions])
    weighted = {
        "loss_ce": settings.class_weight * class_loss(class_logits, supervision),
        "loss_mask": settings.mask_weight * masks,
        "loss_dice": settings.dice_weight * dice,
        "loss_pixel_insdis": settings.insdis_weight
        * _sampled_discrimination(features, supervision, grid, settings, seeds),
    }
    means = torch.stack(list(weighted.values())).mean(2).unbind(1)  # of each prediction (4,)
    return [dict(zip(weighted, mean.unbind(), strict=True)) for mean in means]


def in_its_layout(x: Tensor) -> Tensor:
    """Returns a feature whose gradient comes in its own memory format, as its convolution wants."""
    y = x.view_as(x)
    if y.requires_grad and x.is_contiguous(memory_format=torch.channels_last):
        y.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return y


def stack_by_size(maps: list[Tensor]) -> list[Tensor]:
    """Stacks maps (B, C, h, w) of one size that follow each other: (g, B, C, h, w) each."""
    groups = groupby(maps, key=lambda each: each.shape)
    return [torch.stack(list(group)) for _, group in groups]


def _sampled_discrimination(
    features: list[Tensor],
    supervision: Supervision,
    grid: tuple[int, int],
    settings: LossSettings,
    seeds: Tensor,
) -> Tensor:
    """Draws pixels and computes the instance discrimination losses of features: (G, B)."""
    total = sum(map(len, features))
    pixels = sample_pixels(
        supervision.inverse_area,
        supervision.coverage == 0,
        samples=settings.insdis_samples,
        temperature=settings.insdis_temperature,
        seeds=seeds,
        stream=INSTANCE_PIXELS,
        predictions=total,
    )  # (G, B, S)
    depth = supervision.query_map.shape[1]
    query_map = supervision.query_map.expand(total, -1, -1, -1)
    owners = query_map.gather(3, pixels[:, :, None].expand(-1, -1, depth, -1))  # (G, B, L, S)
    sampled = sample_bilinear(features, pixels, grid)  # (G, B, S, C)
    queries = supervision.mask_weight.shape[1]
    losses = instance_discrimination_loss(sampled.flatten(0, 1), owners.flatten(0, 1), queries)
    return losses.view(pixels.shape[:2])
