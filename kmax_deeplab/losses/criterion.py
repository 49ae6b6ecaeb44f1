"""The training criterion: every prediction of the head against the ground truth of the batch.

Head output and targets enter, weighted losses under the released names leave. Float32 begins here,
whatever the precision of the forward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kmax_deeplab.losses.grid import resize_logits, sample_bilinear, sample_pixels
from kmax_deeplab.losses.instance_discrimination import instance_discrimination_loss
from kmax_deeplab.losses.matching import match_segments
from kmax_deeplab.losses.supervision import build_supervision
from kmax_deeplab.losses.terms import class_loss, mask_losses, semantic_loss
from kmax_deeplab.structures import HeadOutput, Prediction, Supervision, Targets


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
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Computes all losses of a batch, each times its weight; their plain sum is minimised.

    Args:
        output: predictions of the head, the final one last, of any floating-point type.
        targets: per image, all on one grid, on the device of the output.
        settings: weights and switches of the recipe.
        generator: on that device, for the sampled pixels; None means PyTorch's global one.

    Returns:
        float32 scalars, means over the images of this rank: `loss_ce`, `loss_mask`, `loss_dice` and
        `loss_pixel_insdis` of the final prediction, `loss_aux_semantic` if there are semantic
        logits, and the first four with suffix `_{i}` for k-means layer i, counted from 0.

    Raises:
        ValueError: the targets do not fit the output or each other.
        FloatingPointError: a prediction is not finite.
    """
    _check_targets(output, targets)
    with torch.autocast(targets[0].semantic.device.type, enabled=False):
        return _compute_in_float32(_to_float32(output), targets, settings, generator)


def _check_targets(output: HeadOutput, targets: list[Targets]) -> None:
    """Refuses targets that do not belong to the batch."""
    images = len(output.predictions[-1].class_logits)
    grids = {tuple(t.semantic.shape) for t in targets}
    if len(targets) != images or len(grids) != 1:
        raise ValueError(
            f"{images} images have {len(targets)} targets on grids {sorted(grids)}; "
            "give one target per image, all of the same height and width"
        )


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
    targets: list[Targets],
    settings: LossSettings,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Computes the losses of the final prediction, then those of the k-means layers."""
    grid = tuple(targets[0].semantic.shape)
    *layers, final = output.predictions if settings.deep_supervision else output.predictions[-1:]
    supervisions = supervise(final, targets, settings)
    losses = prediction_losses(final, supervisions, grid, settings, generator)
    if output.semantic_logits is not None:
        losses["loss_aux_semantic"] = _semantic_loss(
            output.semantic_logits, targets, supervisions, settings, generator
        )
    for i, layer in enumerate(layers):
        if not settings.share_final_matching:
            supervisions = supervise(layer, targets, settings)
        own = prediction_losses(layer, supervisions, grid, settings, generator)
        losses |= {f"{name}_{i}": loss for name, loss in own.items()}
    return losses


@torch.no_grad()
def supervise(
    prediction: Prediction, targets: list[Targets], settings: LossSettings
) -> list[Supervision]:
    """Matches a prediction with the ground truth and says what it should have been.

    Args:
        prediction: float32, of the whole batch.
        targets: per image.
        settings: its `no_object_weight` is used.

    Returns:
        per image.
    """
    grid = tuple(targets[0].semantic.shape)
    mask_probs = [resize_logits(logits, grid).softmax(0) for logits in prediction.mask_logits]
    matches = match_segments(prediction.class_logits, mask_probs, targets)
    return [
        build_supervision(
            probs,
            match,
            target,
            classes=prediction.class_logits.shape[2] - 1,
            no_object_weight=settings.no_object_weight,
        )
        for probs, match, target in zip(mask_probs, matches, targets, strict=True)
    ]


def prediction_losses(
    prediction: Prediction,
    supervisions: list[Supervision],
    grid: tuple[int, int],
    settings: LossSettings,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Computes the four weighted losses of one prediction, means over the images.

    Args:
        prediction: float32, of the whole batch, at its own stride.
        supervisions: per image.
        grid: (H, W) of the targets.
        settings: weights and switches of the recipe.
        generator: for the sampled pixels.

    Returns:
        scalars under the names of the final prediction's losses.
    """
    images = zip(
        prediction.class_logits,
        prediction.mask_logits,
        prediction.pixel_feature,
        supervisions,
        strict=True,
    )
    by_image = [
        torch.stack(
            [
                class_loss(class_logits, supervision),
                *mask_losses(
                    mask_logits, supervision, grid, masking_void=settings.masking_void_pixel
                ),
                _sampled_discrimination(feature, supervision, grid, settings, generator),
            ]
        )
        for class_logits, mask_logits, feature, supervision in images
    ]
    class_mean, mask_mean, dice_mean, insdis_mean = torch.stack(by_image).mean(0)
    return {
        "loss_ce": settings.class_weight * class_mean,
        "loss_mask": settings.mask_weight * mask_mean,
        "loss_dice": settings.dice_weight * dice_mean,
        "loss_pixel_insdis": settings.insdis_weight * insdis_mean,
    }


def _sampled_discrimination(
    feature: Tensor,
    supervision: Supervision,
    grid: tuple[int, int],
    settings: LossSettings,
    generator: torch.Generator | None,
) -> Tensor:
    """Draws pixels of one image and computes their instance discrimination loss."""
    pixels = sample_pixels(
        supervision.inverse_area,
        supervision.coverage == 0,
        samples=settings.insdis_samples,
        temperature=settings.insdis_temperature,
        generator=generator,
    )
    features = sample_bilinear(feature, pixels, grid)
    return instance_discrimination_loss(features, supervision, pixels)


def _semantic_loss(
    semantic_logits: Tensor,
    targets: list[Targets],
    supervisions: list[Supervision],
    settings: LossSettings,
    generator: torch.Generator | None,
) -> Tensor:
    """Computes the weighted semantic loss, mean over the images."""
    losses = [
        semantic_loss(
            logits,
            target.semantic,
            supervision,
            samples=settings.semantic_samples,
            temperature=settings.semantic_temperature,
            generator=generator,
        )
        for logits, target, supervision in zip(semantic_logits, targets, supervisions, strict=True)
    ]
    return settings.semantic_weight * torch.stack(losses).mean()
