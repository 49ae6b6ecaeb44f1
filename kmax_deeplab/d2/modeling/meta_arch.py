"""Meta-architecture `kMaXDeepLab`: Detectron2's input dicts in; losses or per-image results out."""

from functools import partial

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_sem_seg_head
from detectron2.structures import BitMasks, Instances
from torch import Tensor, nn

from kmax_deeplab.d2.data.catalog import known_categories
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.losses.criterion import LossSettings, compute_losses
from kmax_deeplab.modeling.recomputation import set_recompute
from kmax_deeplab.postprocessing import Geometry, InstanceMasks, PostprocessedImage, postprocess
from kmax_deeplab.structures import MergeThresholds, Prediction, Targets


@META_ARCH_REGISTRY.register()
class kMaXDeepLab(nn.Module):
    """Backbone, head, and what lies between them and Detectron2's dicts.

    Args:
        backbone: image (B, 3, H, W) to {name: feature}.
        head: features to `HeadOutput` (training) or a dict (evaluation).
        criterion: (HeadOutput, list[Targets]) to {name: weighted loss}.
        postprocess: (class_logits, mask_logits, geometry) to `PostprocessedImage`.
        image_size: (height, width) that images are padded to, pixels.
        pixel_mean: of the three channels, in [0, 255].
        pixel_std: of the three channels.
        channels_last: whether convolutions run in channels-last memory format.
        categories: the classes in the order of the outputs, to be kept in checkpoints.
    """

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        criterion,
        postprocess,
        image_size: tuple[int, int],
        pixel_mean: list[float],
        pixel_std: list[float],
        channels_last: bool = False,
        categories: Categories | None = None,
    ):
        super().__init__()
        self.categories = categories
        self.backbone = backbone
        self.sem_seg_head = head
        self.criterion = criterion
        self.postprocess = postprocess
        self.image_size = tuple(image_size)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)
        self.to(memory_format=self.memory_format)

    @classmethod
    def from_config(cls, cfg) -> dict:
        class_count(cfg)  # refuses an open number before anything is built with it
        backbone = build_backbone(cfg)
        head = build_sem_seg_head(cfg, backbone.output_shape())
        on_cpu = torch.device(cfg.MODEL.DEVICE).type == "cpu"
        for network in (backbone, head):
            set_recompute(network, on_cpu and cfg.MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS)
        return {
            "backbone": backbone,
            "head": head,
            "criterion": partial(compute_losses, settings=loss_settings(cfg)),
            "postprocess": partial(postprocess, **_postprocess_settings(cfg)),
            "image_size": cfg.INPUT.IMAGE_SIZE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "channels_last": cfg.MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT,
            "categories": classes_of(cfg),
        }

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Computes the losses of a batch (training) or the results of its images (evaluation).

        Args:
            batched_inputs: each with "image" uint8 (3, h, w) RGB; in training also "targets" (or
                "instances" and "sem_seg_gt" on the stride-4 grid) and "is_real_pixels" (H, W); in
                evaluation optionally the output size "height", "width" in pixels.

        Returns:
            in training {name: weighted loss}; in evaluation a dict per image with "panoptic_seg",
            "sem_seg", "instances" as configured, and "original_image" beside "panoptic_seg".
        """
        if not self.training and len(batched_inputs) > 1 and self._exceeds_size(batched_inputs):
            # Padded to another size than alone, an image would get another result.
            return [self([x])[0] for x in batched_inputs]
        images = self.preprocess(batched_inputs)
        features = self.backbone(images)
        output = self.sem_seg_head(features)
        if self.training:
            return self.criterion(output, [self._targets(x) for x in batched_inputs])
        for name in ("pred_logits", "pred_masks"):
            _require_finite(output[name], batched_inputs)
        geometries = self.geometries(batched_inputs)
        predictions = zip(output["pred_logits"], output["pred_masks"], geometries, strict=True)
        results = (self.postprocess(*prediction) for prediction in predictions)
        return [_to_detectron2(*pair) for pair in zip(results, batched_inputs, strict=True)]

    @torch.no_grad()
    def predict_layers(self, batched_inputs: list[dict]) -> list[Prediction]:
        """Returns every k-means layer's prediction and the final one, on the padded input."""
        features = self.backbone(self.preprocess(batched_inputs))
        return self.sem_seg_head.predict(features).predictions

    def preprocess(self, batched_inputs: list[dict]) -> Tensor:
        """Normalises images and pads them right and bottom with 0 to one size, (B, 3, H, W)."""
        images = [x["image"].to(self.device, non_blocking=True) for x in batched_inputs]
        height, width = self._padded_size([image.shape[-2:] for image in images])
        batch = torch.zeros((len(images), 3, height, width), device=self.device)
        for padded, image, x in zip(batch, images, batched_inputs, strict=True):
            normalised = (image - self.pixel_mean) / self.pixel_std
            if "is_real_pixels" in x:
                normalised *= x["is_real_pixels"].to(self.device, non_blocking=True)
            padded[:, : image.shape[-2], : image.shape[-1]] = normalised
        return batch.contiguous(memory_format=self.memory_format)

    def geometries(self, batched_inputs: list[dict]) -> list[Geometry]:
        """Returns where each image of a batch lies in the network input and its output size."""
        images = [tuple(x["image"].shape[-2:]) for x in batched_inputs]
        padded = tuple(self._padded_size(images))
        return [
            Geometry(padded, (height, width), (x.get("height", height), x.get("width", width)))
            for (height, width), x in zip(images, batched_inputs, strict=True)
        ]

    def _exceeds_size(self, batched_inputs: list[dict]) -> bool:
        height, width = self.image_size
        sizes = (x["image"].shape[-2:] for x in batched_inputs)
        return any(size[0] > height or size[1] > width for size in sizes)

    def _padded_size(self, sizes: list[torch.Size]) -> list[int]:
        """IMAGE_SIZE, or the next size of its kind (32k + 1 or 32k) where an image is larger."""
        padded = []
        for axis, side in enumerate(self.image_size):
            largest = max(int(size[axis]) for size in sizes)
            remainder = side % 32
            padded.append(max(side, -(-(largest - remainder) // 32) * 32 + remainder))
        return padded

    def _targets(self, x: dict) -> Targets:
        if "targets" in x:
            return x["targets"].to(self.device)
        instances = x["instances"]
        masks = getattr(instances.gt_masks, "tensor", instances.gt_masks)
        return Targets.from_masks(instances.gt_classes, masks, x["sem_seg_gt"]).to(self.device)


def _require_finite(values: Tensor, batched_inputs: list[dict]) -> None:
    """Refuses an answer that is none; post-processing would find nothing in it, without a word."""
    if not values.isfinite().all():
        names = [x.get("file_name", "an image without name") for x in batched_inputs]
        raise ValueError(
            f"the model's output for {', '.join(names)} holds NaN or infinite values: its weights "
            "or the precision (half, autocast) do not fit"
        )


def _to_detectron2(result: PostprocessedImage, x: dict) -> dict:
    """Dresses a result in Detectron2's dict; the input image comes along at the output size."""
    out = {}
    if result.panoptic is not None:
        size = result.panoptic[0].shape
        image = x["image"][None].float()
        resized = F.interpolate(image, size, mode="bilinear", align_corners=False)
        out["panoptic_seg"] = result.panoptic
        out["original_image"] = resized[0].round().byte().permute(1, 2, 0)
    if result.semantic is not None:
        out["sem_seg"] = result.semantic
    if result.instances is not None:
        out["instances"] = _to_instances(result.instances)
    return out


def _to_instances(found: InstanceMasks) -> Instances:
    boxes = BitMasks(found.masks).get_bounding_boxes()
    return Instances(
        tuple(found.masks.shape[-2:]),
        pred_masks=found.masks,
        pred_boxes=boxes,
        scores=found.scores,
        pred_classes=found.classes,
    )


def loss_settings(cfg) -> LossSettings:
    """Reads the criterion's settings from a config."""
    node = cfg.MODEL.KMAX_DEEPLAB
    return LossSettings(
        class_weight=node.CLASS_WEIGHT,
        mask_weight=node.MASK_WEIGHT,
        dice_weight=node.DICE_WEIGHT,
        insdis_weight=node.INSDIS_WEIGHT,
        semantic_weight=node.AUX_SEMANTIC_WEIGHT,
        no_object_weight=node.NO_OBJECT_WEIGHT,
        deep_supervision=node.DEEP_SUPERVISION,
        share_final_matching=node.SHARE_FINAL_MATCHING,
        masking_void_pixel=node.MASKING_VOID_PIXEL,
        insdis_samples=node.PIXEL_INSDIS_SAMPLE_K,
        insdis_temperature=node.PIXEL_INSDIS_TEMPERATURE,
        semantic_samples=node.AUX_SEMANTIC_SAMPLE_K,
        semantic_temperature=node.AUX_SEMANTIC_TEMPERATURE,
    )


def _postprocess_settings(cfg) -> dict:
    node = cfg.MODEL.KMAX_DEEPLAB.TEST
    return {
        "thresholds": MergeThresholds(
            thing=node.CLASS_THRESHOLD_THING,
            stuff=node.CLASS_THRESHOLD_STUFF,
            pixel=node.PIXEL_CONFIDENCE_THRESHOLD,
            overlap=node.OVERLAP_THRESHOLD,
            class_power=node.REORDER_CLASS_WEIGHT,
            mask_power=node.REORDER_MASK_WEIGHT,
        ),
        "is_thing": things_of(cfg),
        "panoptic": node.PANOPTIC_ON,
        "semantic": node.SEMANTIC_ON,
        "instance": node.INSTANCE_ON,
        "detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
    }


def class_count(cfg) -> int:
    """Returns K, the number of classes without void.

    Raises:
        ValueError: the config leaves it open.
    """
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES < 1:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}, as many as "
            "the datasets have, and nobody counted: give the number, or call "
            "kmax_deeplab.d2.data.classes.prepare_datasets(cfg) before the model is built"
        )
    return cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES


def classes_of(cfg) -> Categories | None:
    """Returns the model's classes as its training datasets, else its test datasets, list them.

    Returns:
        None if no dataset says what they are called.
    """
    found = (known_categories(name) for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    return next((c for c in found if c is not None and len(c) == class_count(cfg)), None)


def things_of(cfg) -> Tensor:
    """Returns which contiguous classes are things, (K,) bool, from the first dataset that knows.

    Raises:
        ValueError: no dataset of the config is registered, or it has other classes.
    """
    num_classes = class_count(cfg)
    names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
    for name in names:
        things = getattr(MetadataCatalog.get(name), "thing_dataset_id_to_contiguous_id", None)
        if things is None:
            continue
        if max(things.values(), default=0) >= num_classes:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}, but dataset {name!r} has more"
            )
        is_thing = torch.zeros(num_classes, dtype=torch.bool)
        is_thing[list(things.values())] = True
        return is_thing
    raise ValueError(
        f"none of the datasets {names} says which classes are things; "
        "register one (DATASETS.PANOPTIC) or name a registered one in DATASETS.TRAIN or TEST"
    )
