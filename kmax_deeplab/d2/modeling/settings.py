"""From keys of a config to descriptions and settings of the core; what cannot be is refused.

Every key of the network is read here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode

from kmax_deeplab.d2.config.keys import LOSS_KEYS
from kmax_deeplab.losses.criterion import LossSettings
from kmax_deeplab.model.build import BACKBONES as KINDS
from kmax_deeplab.model.description import HeadDescription, InputDescription, ModelDescription
from kmax_deeplab.model.kmax import Outputs
from kmax_deeplab.modeling.backbone import STRIDES, FeatureShape, coarse_to_fine
from kmax_deeplab.modeling.resnet import BASIC, DEPTHS
from kmax_deeplab.structures import MergeThresholds

Shapes = Mapping[str, FeatureShape]
"""Of the backbone's features."""
FIXED = {
    "WIDTH_PER_GROUP": (64,),
    "STEM_OUT_CHANNELS": (64,),
    "RES2_OUT_CHANNELS": (256, 64),
    "RES4_DILATION": (1,),
    "RES5_DILATION": (1,),
    "DEFORM_ON_PER_STAGE": ([False] * 4,),
}
"""Keys of Detectron2's ResNet whose other values are not built here."""


def class_count(cfg: CfgNode) -> int:
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


def resnet(cfg: CfgNode) -> dict[str, Any]:
    """Describes `custom_bn_build_resnet_backbone` by MODEL.RESNETS."""
    node = cfg.MODEL.RESNETS
    for name, accepted in FIXED.items():
        if node[name] not in accepted:
            raise ValueError(
                f"MODEL.RESNETS.{name} is {node[name]}: only {accepted[0]} is built here"
            )
    if node.DEPTH not in DEPTHS:
        raise ValueError(f"MODEL.RESNETS.DEPTH is {node.DEPTH}: choose from {list(DEPTHS)}")
    if node.DEPTH in BASIC and (node.ACTIVATE_ON_ENTRY or not node.STEM_POOL):
        raise ValueError(
            "MODEL.RESNETS.ACTIVATE_ON_ENTRY True and STEM_POOL False need bottlenecks: "
            f"MODEL.RESNETS.DEPTH 50, 101 or 152, not {node.DEPTH}"
        )
    if node.DEPTH in BASIC and node.NUM_GROUPS != 1:
        raise ValueError(f"MODEL.RESNETS.NUM_GROUPS {node.NUM_GROUPS} needs DEPTH 50, 101 or 152")
    _check_features("MODEL.RESNETS.OUT_FEATURES", node.OUT_FEATURES)
    return {
        "kind": "resnet",
        "depth": node.DEPTH,
        "norm": node.NORM,
        "norm_momentum": cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM,
        "out_features": list(node.OUT_FEATURES),
        "stem_pool": node.STEM_POOL,
        "activate_on_entry": node.ACTIVATE_ON_ENTRY,
        "num_groups": node.NUM_GROUPS,
        "stride_in_1x1": node.STRIDE_IN_1X1,
    }


def convnext(cfg: CfgNode) -> dict[str, Any]:
    """Describes `D2ConvNeXt` by MODEL.CONVNEXT."""
    node = cfg.MODEL.CONVNEXT
    if not len(node.DEPTHS) == len(node.DIMS) == 4 or node.IN_CHANNELS != 3:
        raise ValueError(
            f"MODEL.CONVNEXT.DEPTHS {list(node.DEPTHS)} and DIMS {list(node.DIMS)} need four "
            f"numbers each, one a stage, and IN_CHANNELS {node.IN_CHANNELS} must be 3"
        )
    _check_features("MODEL.CONVNEXT.OUT_FEATURES", node.OUT_FEATURES)
    return {
        "kind": "convnext",
        "depths": list(node.DEPTHS),
        "dims": list(node.DIMS),
        "drop_path_rate": node.DROP_PATH_RATE,
        "layer_scale": node.LSIT,
        "out_features": list(node.OUT_FEATURES),
    }


def axial_resnet(cfg: CfgNode) -> dict[str, Any]:
    """Describes `D2AxialResNet` by MODEL.AXIAL_RESNET."""
    node = cfg.MODEL.AXIAL_RESNET
    _check_features("MODEL.AXIAL_RESNET.OUT_FEATURES", node.OUT_FEATURES)
    return {
        "kind": "axial_resnet",
        "depths": list(node.DEPTHS),
        "axial_depths": list(node.AXIAL_DEPTHS),
        "stem_channels": node.STEM_CHANNELS,
        "drop_path": list(node.DROP_PATH_PROBS),
        "norm": cfg.MODEL.KMAX_DEEPLAB.NORM,
        "norm_momentum": cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM,
        "out_features": list(node.OUT_FEATURES),
    }


def timm(cfg: CfgNode) -> dict[str, Any]:
    """Describes `D2Timm` by MODEL.TIMM."""
    node = cfg.MODEL.TIMM
    if len(node.OPTIONS) % 2:
        raise ValueError(
            f"MODEL.TIMM.OPTIONS {list(node.OPTIONS)}: names and values must alternate"
        )
    options = dict(zip(node.OPTIONS[::2], node.OPTIONS[1::2], strict=True))
    if node.DROP_PATH_RATE > 0:
        options["drop_path_rate"] = node.DROP_PATH_RATE
    return {
        "kind": "timm",
        "name": node.NAME,
        "out_features": list(node.OUT_FEATURES),
        "options": options,
    }


def by_kind(cfg: CfgNode) -> dict[str, Any]:
    """Describes `kMaXBackbone` by MODEL.KMAX_DEEPLAB.BACKBONE, as the core's constructor takes it.

    Raises:
        ValueError: its kind is not named.
    """
    node = cfg.MODEL.KMAX_DEEPLAB.BACKBONE
    if "kind" not in node:
        raise ValueError(
            "MODEL.BACKBONE.NAME kMaXBackbone needs MODEL.KMAX_DEEPLAB.BACKBONE in a YAML file: "
            f"kind, one of {list(KINDS)}, and the arguments of its constructor"
        )
    return dict(node)


BACKBONES: dict[str, Callable[[CfgNode], dict[str, Any]]] = {
    "custom_bn_build_resnet_backbone": resnet,
    "D2ConvNeXt": convnext,
    "D2AxialResNet": axial_resnet,
    "D2Timm": timm,
    "kMaXBackbone": by_kind,
}
"""Backbones of the core by MODEL.BACKBONE.NAME."""
OURS = {
    "MODEL.BACKBONE.NAME": tuple(BACKBONES),
    "MODEL.SEM_SEG_HEAD.NAME": ("kMaXDeepLabHead",),
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.NAME": ("kMaXPixelDecoder",),
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.NAME": ("kMaXTransformerDecoder",),
}
"""Registered parts that the core builds; others need Detectron2 and whoever registers them."""


def head(cfg: CfgNode, shapes: Shapes) -> HeadDescription:
    """Describes both decoders for the features of a backbone.

    Raises:
        ValueError: the backbone lacks a feature.
    """
    node = cfg.MODEL.KMAX_DEEPLAB
    try:
        features = coarse_to_fine(dict(shapes), node.PIXEL_DEC.IN_FEATURES)
    except ValueError as error:
        raise ValueError(
            f"MODEL.KMAX_DEEPLAB.PIXEL_DEC.IN_FEATURES {list(node.PIXEL_DEC.IN_FEATURES)}: "
            f"{error}; set its OUT_FEATURES"
        ) from error
    kind = "decoder" if node.USE_AUX_SEMANTIC_DECODER else "head"
    return HeadDescription(
        features=features,
        num_classes=class_count(cfg),
        num_queries=node.TRANS_DEC.NUM_OBJECT_QUERIES,
        decoder_depths=list(node.PIXEL_DEC.DEC_LAYERS),
        decoder_blocks=list(node.PIXEL_DEC.LAYER_TYPES),
        decoder_channels=list(node.PIXEL_DEC.DEC_CHANNELS),
        decoder_drop_path=node.PIXEL_DEC.DROP_PATH_PROB,
        bottleneck_dilation=node.PIXEL_DEC.BOTTLENECK_DILATION,
        clusterings=list(node.TRANS_DEC.DEC_LAYERS),
        drop_path=node.TRANS_DEC.DROP_PATH_PROB,
        semantic=kind if node.AUX_SEMANTIC_WEIGHT > 0 else None,
        low_level_activation=node.LOW_LEVEL_ACTIVATION,
        norm=node.NORM,
        norm_momentum=node.NORM_MOMENTUM,
    )


def inputs(cfg: CfgNode) -> InputDescription:
    """Describes what images go through."""
    return InputDescription(
        image_size=list(cfg.INPUT.IMAGE_SIZE),
        shorter_side=cfg.INPUT.MIN_SIZE_TEST,
        longer_side=cfg.INPUT.MAX_SIZE_TEST,
        pixel_mean=list(cfg.MODEL.PIXEL_MEAN),
        pixel_std=list(cfg.MODEL.PIXEL_STD),
        channels_last=cfg.MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT,
        tile=cfg.INPUT.TILE_TEST,
        tile_overlap=cfg.INPUT.TILE_OVERLAP_TEST,
    )


def merge(cfg: CfgNode) -> MergeThresholds:
    """Reads when a query becomes a segment."""
    node = cfg.MODEL.KMAX_DEEPLAB.TEST
    return MergeThresholds(
        thing=node.CLASS_THRESHOLD_THING,
        stuff=node.CLASS_THRESHOLD_STUFF,
        pixel=node.PIXEL_CONFIDENCE_THRESHOLD,
        overlap=node.OVERLAP_THRESHOLD,
        class_power=node.REORDER_CLASS_WEIGHT,
        mask_power=node.REORDER_MASK_WEIGHT,
    )


def outputs(cfg: CfgNode) -> Outputs:
    """Reads what is computed of an image."""
    node = cfg.MODEL.KMAX_DEEPLAB.TEST
    return Outputs(
        panoptic=node.PANOPTIC_ON,
        semantic=node.SEMANTIC_ON,
        instance=node.INSTANCE_ON,
        detections_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
    )


def losses(cfg: CfgNode) -> LossSettings:
    """Reads the criterion's settings."""
    node = cfg.MODEL.KMAX_DEEPLAB
    return LossSettings(**{name: node[key] for name, key in LOSS_KEYS.items()})


def compilation(cfg: CfgNode) -> str:
    """Reads how the model is compiled; "" for not at all, as is "auto" but in long runs."""
    name = cfg.MODEL.KMAX_DEEPLAB.COMPILE
    return "" if name == "auto" else name


def recomputation(cfg: CfgNode) -> tuple[bool, bool]:
    """Reads whether a training step computes activations again, and whether in all parts."""
    wanted = cfg.MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS
    on_cpu = torch.device(cfg.MODEL.DEVICE).type == "cpu"
    return (on_cpu and not compilation(cfg), False) if wanted is None else (wanted, True)


def precision(cfg: CfgNode) -> torch.dtype | None:
    """Reads the type in which the network evaluates and predicts; None: that of its weights."""
    return getattr(torch, cfg.TEST.AMP.DTYPE) if cfg.TEST.AMP.ENABLED else None


def describe(cfg: CfgNode, shapes: Shapes) -> ModelDescription | None:
    """Describes the whole model of a config.

    Args:
        cfg: the config.
        shapes: of the features of its backbone.

    Returns:
        None if the core cannot build it: a part is registered by somebody else.
    """
    if any(_value(cfg, key) not in ours for key, ours in OURS.items()):
        return None
    backbone = BACKBONES[cfg.MODEL.BACKBONE.NAME](cfg)
    return ModelDescription(backbone, head(cfg, shapes), inputs(cfg), merge(cfg))


def _value(cfg: CfgNode, key: str) -> object:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _check_features(key: str, names: Sequence[str], known: Collection[str] = STRIDES) -> None:
    if unknown := set(names) - set(known):
        raise ValueError(f"{key} has {sorted(unknown)}; choose from {list(known)}")
