"""Meta-architecture `kMaXDeepLab`: Detectron2's input dicts in; losses or per-image results out."""

from functools import partial
from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_sem_seg_head
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.modeling import settings
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.published import categories_by_count
from kmax_deeplab.losses.criterion import LossSettings, compile_losses, compute_losses
from kmax_deeplab.model.kmax import Criterion, KMaXDeepLab
from kmax_deeplab.modeling.compilation import compile_in_place, compile_options
from kmax_deeplab.modeling.recomputation import set_recompute
from kmax_deeplab.postprocessing.image import PostprocessedImage
from kmax_deeplab.postprocessing.instances import InstanceMasks
from kmax_deeplab.predict.looking import segment_windows
from kmax_deeplab.structures import Prediction, Targets


@META_ARCH_REGISTRY.register()
class kMaXDeepLab(KMaXDeepLab):
    """The model as Detectron2 sees it: by a config, on input dicts.

    Args:
        backbone, head: as for the core's model.
        shows_inputs: whether results come with the image at their size, for pictures.
        **parts: other arguments of the core's model.
    """

    @configurable
    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, shows_inputs: bool = False, **parts: Any
    ):
        super().__init__(backbone, head, **parts)
        self.shows_inputs = shows_inputs

    @classmethod
    def from_config(cls, cfg: CfgNode, categories: Categories | None = None) -> dict[str, Any]:
        """Builds the registered parts that a config names.

        Args:
            cfg: the config.
            categories: the model's classes; None: those of the config's datasets.
        """
        categories = categories or classes_of(cfg)
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        head = build_sem_seg_head(cfg, shapes)
        compilation = settings.compilation(cfg)
        for network in (backbone, head):
            recompute, all_parts = settings.recomputation(cfg)
            set_recompute(network, recompute, all_parts=all_parts)
            if compilation:
                compile_in_place(network, compilation)
        return {
            "backbone": backbone,
            "head": head,
            "categories": categories,
            "inputs": settings.inputs(cfg),
            "merge": settings.merge(cfg),
            "outputs": settings.outputs(cfg),
            "criterion": _build_criterion(settings.losses(cfg), compilation),
            "precision": settings.precision(cfg),
            "description": settings.describe(cfg, shapes),
            "shows_inputs": cfg.MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM > 0,
        }

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Computes the losses of a batch (training) or the results of its images (evaluation).

        Args:
            batched_inputs: each with "image" uint8 (3, h, w) RGB; in training also "targets" (or
                "instances" and "sem_seg_gt" on the stride-4 grid), "is_real_pixels" (H, W) and
                "seed", an int which decides what is random about the image (see `losses`); in
                evaluation optionally the output size "height", "width" in pixels, or, if images
                are looked at in windows (INPUT.TILE_TEST), the image as it is.

        Returns:
            in training {name: weighted loss}; in evaluation a dict per image with "panoptic_seg",
            "sem_seg", "instances" as configured, and "original_image" beside "panoptic_seg" if
            pictures are to be saved.
        """
        images = [x["image"] for x in batched_inputs]
        if self.training:
            is_real = [x.get("is_real_pixels") for x in batched_inputs]
            seeds = [x.get("seed") for x in batched_inputs]
            return self.losses(images, is_real, [_targets(x) for x in batched_inputs], seeds)
        names = [x.get("file_name", "an image without name") for x in batched_inputs]
        if self.inputs.tile:
            arrays = (image.permute(1, 2, 0).cpu().numpy() for image in images)
            pairs = zip(arrays, names, strict=True)
            results = [segment_windows(self, image, name) for image, name in pairs]
        else:
            results = self.segment(images, output_sizes(batched_inputs), names)
        shown = self.shows_inputs
        return [_to_detectron2(*pair, shown) for pair in zip(results, batched_inputs, strict=True)]

    def layers_of(self, batched_inputs: list[dict]) -> tuple[list[Prediction], list]:
        """Returns all predictions, the final one last, and the geometry of each image."""
        images = [x["image"] for x in batched_inputs]
        return self.predict_layers(images), self.geometries(images, output_sizes(batched_inputs))


def _build_criterion(losses: LossSettings, compilation: str) -> Criterion:
    if compilation:
        return compile_losses(losses, **compile_options(compilation))
    return partial(compute_losses, settings=losses)


def output_sizes(batched_inputs: list[dict]) -> list[tuple[int, int]]:
    """Returns the (height, width) that results are asked for at."""
    sizes = [(x, x["image"].shape[-2:]) for x in batched_inputs]
    return [(x.get("height", height), x.get("width", width)) for x, (height, width) in sizes]


def classes_of(cfg: CfgNode) -> Categories:
    """Returns a model's classes, as the datasets of its config list them, or a benchmark's.

    Raises:
        ValueError: the datasets have another number of classes, or nobody lists them.
    """
    count = settings.class_count(cfg)
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    found = {name: c for name in names if (c := categories_of(name)) is not None}
    fitting = [categories for categories in found.values() if len(categories) == count]
    if found and not fitting:
        counts = {name: len(categories) for name, categories in found.items()}
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {count}, but the datasets have {counts} categories"
        )
    published = categories_by_count(count)
    if not fitting and published is None:
        raise ValueError(
            f"none of the datasets {list(names)} says which classes are things; register one "
            "(DATASETS.PANOPTIC) or name a registered one in DATASETS.TRAIN or TEST"
        )
    return fitting[0] if fitting else published


def _targets(x: dict) -> Targets:
    if "targets" in x:
        return x["targets"]
    instances = x["instances"]
    masks = getattr(instances.gt_masks, "tensor", instances.gt_masks)
    return Targets.from_masks(instances.gt_classes, masks, x["sem_seg_gt"])


def _to_detectron2(result: PostprocessedImage, x: dict, shown: bool) -> dict:
    """Dresses a result in Detectron2's dict; for pictures with the input at the output size."""
    out = {}
    if result.panoptic is not None:
        out["panoptic_seg"] = result.panoptic
    if result.panoptic is not None and shown:
        size = result.panoptic[0].shape
        image = x["image"][None].float()
        resized = F.interpolate(image, size, mode="bilinear", align_corners=False)
        out["original_image"] = resized[0].round().byte().permute(1, 2, 0)
    if result.semantic is not None:
        out["sem_seg"] = result.semantic
    if result.instances is not None:
        out["instances"] = _to_instances(result.instances)
    return out


def _to_instances(found: InstanceMasks) -> Instances:
    return Instances(
        tuple(found.masks.shape[-2:]),
        pred_masks=found.masks,
        pred_boxes=Boxes(found.boxes),
        scores=found.scores,
        pred_classes=found.classes,
    )
