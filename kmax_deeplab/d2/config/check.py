"""What a config may say: values that cannot work are refused, those without effect are told.

In: a config, before anything is built. Out: nothing, sentences, or an error that names the key.
"""

import difflib
import re
from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode

from kmax_deeplab.checkpoint.parts import check_parts
from kmax_deeplab.d2.data.augmentations import FLIPS, SCALES
from kmax_deeplab.model.description import MOST_OVERLAP
from kmax_deeplab.modeling.compilation import COMPILATIONS

MAPPERS = (
    "panoptic_lsj",
    "coco_panoptic_lsj",
    "cityscapes_panoptic_lsj",
    "ade20k_panoptic_lsj",
)
"""Accepted INPUT.DATASET_MAPPER_NAME: the released names and the plain one, all the same mapper."""
CHOICES = {
    "INPUT.DATASET_MAPPER_NAME": MAPPERS,
    "INPUT.FORMAT": ("RGB",),
    "INPUT.RANDOM_FLIP": tuple(FLIPS),
    "INPUT.SCALE_OF": SCALES,
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler",),
    "SOLVER.OPTIMIZER": ("ADAMW", "SGD"),
    "SOLVER.AMP.DTYPE": ("float16", "bfloat16"),
    "SOLVER.LR_SCHEDULER_NAME": (
        *("TF2WarmupPolyLR", "WarmupMultiStepLR", "WarmupCosineLR"),
        "WarmupStepWithFixedGammaLR",
    ),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("full_model", "value", "norm"),
    "MODEL.KMAX_DEEPLAB.NORM": ("SyncBN", "BN"),
    "TEST.AMP.DTYPE": ("float16", "bfloat16"),
    "MODEL.KMAX_DEEPLAB.COMPILE": ("auto", "", *COMPILATIONS),
    "MODEL.KMAX_DEEPLAB.LOW_LEVEL_ACTIVATION": ("none", "relu", "gelu"),
}
"""Keys that name one of several things."""
KMAX, TEST = "MODEL.KMAX_DEEPLAB", "MODEL.KMAX_DEEPLAB.TEST"
RANGES = {
    (1, None): (
        *("TEST.IMS_PER_BATCH", "TEST.DETECTIONS_PER_IMAGE", "SOLVER.ACCUMULATE", "DIST.TIMEOUT"),
        f"{KMAX}.TRANS_DEC.NUM_OBJECT_QUERIES",
    ),
    (0, None): (
        *("TEST.MAX_IMAGES", "TEST.SHOWN_IMAGES", "TEST.EVAL_PERIOD", "DATALOADER.NUM_WORKERS"),
        *("INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST", "INPUT.TILE_TEST", f"{KMAX}.SAVE_VIS_NUM"),
        *("SOLVER.REFERENCE_BATCH", "SOLVER.MAX_SKIPPED_STEPS", "DATALOADER.MAX_DAMAGED"),
        *("CHECKPOINTER.MAX_TO_KEEP", "CHECKPOINTER.TIME_LIMIT"),
        *("SOLVER.BASE_LR", "SOLVER.BACKBONE_MULTIPLIER", "SOLVER.WARMUP_ITERS"),
        *("SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.WEIGHT_DECAY_EMBED"),
        *(f"{KMAX}.{name}_WEIGHT" for name in ("CLASS", "MASK", "DICE", "INSDIS", "AUX_SEMANTIC")),
        *(f"{TEST}.REORDER_{name}_WEIGHT" for name in ("CLASS", "MASK")),
    ),
    (0, MOST_OVERLAP): ("INPUT.TILE_OVERLAP_TEST",),
    (0, 1): (
        "INPUT.COPY_PASTE",
        *(f"{TEST}.CLASS_THRESHOLD_{kind}" for kind in ("THING", "STUFF")),
        *(f"{TEST}.{name}_THRESHOLD" for name in ("PIXEL_CONFIDENCE", "OVERLAP")),
        *("MODEL.CONVNEXT.DROP_PATH_RATE", "MODEL.TIMM.DROP_PATH_RATE"),
        *(f"{KMAX}.{part}.DROP_PATH_PROB" for part in ("PIXEL_DEC", "TRANS_DEC")),
        *(f"{KMAX}.NORM_MOMENTUM", "SOLVER.WARMUP_FACTOR", "SOLVER.EMA.DECAY"),
    ),
}
"""Keys of numbers by their least and greatest value."""
TRAINING_RANGES = {
    (1, None): (
        *("SOLVER.MAX_ITER", "SOLVER.CHECKPOINT_PERIOD", "SOLVER.IMS_PER_BATCH"),
        "TEST.PRECISE_BN.NUM_ITER",
    ),
}
"""The same of keys that only a training reads."""
NO_EFFECT = re.compile(
    r"INPUT\.(CROP\.|(MIN|MAX)_SIZE_TRAIN|MASK_FORMAT|SIZE_DIVISIBILITY)|TEST\.(AUG\.|KEYPOINT)"
    r"|DATALOADER\.(ASPECT_RATIO|REPEAT|FILTER_EMPTY)|DATASETS\.(PROPOSAL|PRECOMPUTED)|GLOBAL\."
    r"|SOLVER\.BIAS_LR_FACTOR"
    r"|MODEL\.(ANCHOR|FPN|KEYPOINT_ON|LOAD_PROPOSALS|MASK_ON|PANOPTIC_FPN|PROPOSAL|RETINANET|ROI_"
    r"|RPN|RESNETS\.(STEM_TYPE|RES5_MULTI_GRID|DEFORM_MODULATED|DEFORM_NUM_GROUPS)|CONVNEXT\.OUT_INDICES|KMAX_DEEPLAB\.SIZE_DIV"
    r"|KMAX_DEEPLAB\.TRANS_DEC\.IN_CHANNELS|KMAX_DEEPLAB\.TEST\.SEM_SEG_POST"
    r"|SEM_SEG_HEAD\.(?!NAME|NUM_CLASSES))"
)
"""Keys of Detectron2 and of released files that nothing here reads."""
SECTIONS = {
    "MODEL.RESNETS.": "custom_bn_build_resnet_backbone",
    "MODEL.CONVNEXT.": "D2ConvNeXt",
    "MODEL.TIMM.": "D2Timm",
    "MODEL.AXIAL_RESNET.": "D2AxialResNet",
}
"""Sections that one backbone alone reads."""
STEPS = ("SOLVER.STEPS", "SOLVER.GAMMA", "SOLVER.NUM_DECAYS", "SOLVER.RESCALE_INTERVAL")
"""Keys that TF2WarmupPolyLR does not read."""
POLY = ("SOLVER.POLY_LR_POWER", "SOLVER.POLY_LR_CONSTANT_ENDING")
"""Keys that only TF2WarmupPolyLR reads."""


def validate(cfg: CfgNode) -> None:
    """Refuses a config that cannot work, before anything is built.

    Raises:
        ValueError: naming the key, its value and what is accepted.
    """
    values = flatten_values(cfg)
    for key, accepted in CHOICES.items():
        if values[key] not in accepted:
            raise ValueError(f"{key} {values[key]!r} is unknown; use one of {list(accepted)}")
    _check_ranges(values, RANGES)
    _check_sizes(cfg)
    check_parts(cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE)
    try:
        torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise ValueError(
            f"MODEL.DEVICE {cfg.MODEL.DEVICE!r} is unknown; use 'cuda', 'cuda:1', 'cpu' or 'mps'"
        ) from error


def validate_training(cfg: CfgNode, num_processes: int) -> None:
    """Refuses a training that cannot run to its end.

    Args:
        cfg: with DATASETS filled in.
        num_processes: that share a batch.

    Raises:
        ValueError: naming the key, its value and what is accepted.
    """
    _check_ranges(flatten_values(cfg), TRAINING_RANGES)
    if cfg.SOLVER.IMS_PER_BATCH % num_processes:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}: it must be a multiple of the "
            f"number of processes, {num_processes}"
        )
    _check_pooling(cfg, num_processes)
    if not cfg.DATASETS.TRAIN:
        raise ValueError("DATASETS.TRAIN is empty: there is nothing to train on")
    if cfg.DATASETS.TEST:
        require_outputs(cfg)


def validate_evaluation(cfg: CfgNode) -> None:
    """Refuses an evaluation of nothing.

    Raises:
        ValueError: naming the key.
    """
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST is empty: there is nothing to evaluate on")
    require_outputs(cfg)


def require_outputs(cfg: CfgNode) -> None:
    """Refuses a config that computes nothing to evaluate.

    Raises:
        ValueError: naming the keys.
    """
    keys = ("PANOPTIC_ON", "SEMANTIC_ON", "INSTANCE_ON")
    if not any(cfg.MODEL.KMAX_DEEPLAB.TEST[key] for key in keys):
        raise ValueError(f"nothing to evaluate: turn on one of {list(keys)} in {TEST}")


def flatten_values(cfg: CfgNode) -> dict[str, object]:
    """Returns the values of a config by their whole keys, "SOLVER.BASE_LR"."""
    flat: dict[str, object] = {}
    for name, value in cfg.items():
        if isinstance(value, CfgNode):
            flat |= {f"{name}.{key}": inner for key, inner in flatten_values(value).items()}
        else:
            flat[name] = value
    return flat


def tell_surprises(cfg: CfgNode, keys: Sequence[str]) -> Iterator[str]:
    """Yields what somebody who wrote this config may not expect of it.

    Args:
        cfg: the config.
        keys: that the user set in this very command.
    """
    poly = cfg.SOLVER.LR_SCHEDULER_NAME == "TF2WarmupPolyLR"
    for key in keys:
        if NO_EFFECT.match(key) or key in (STEPS if poly else POLY):
            yield f"{key} has no effect here: nothing reads it."
        for section, backbone in SECTIONS.items():
            if key.startswith(section) and backbone != cfg.MODEL.BACKBONE.NAME:
                yield f"{key} has no effect: MODEL.BACKBONE.NAME is {cfg.MODEL.BACKBONE.NAME}."
    height, width = cfg.INPUT.IMAGE_SIZE
    least, most = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    if least > min(height, width) or most > max(height, width):
        yield (
            f"INPUT.IMAGE_SIZE is {[height, width]}, but images are resized to a shorter side of "
            f"INPUT.MIN_SIZE_TEST {least} and a longer one of at most INPUT.MAX_SIZE_TEST {most} "
            "before they are evaluated or predicted: larger, slower, and not as in training. "
            f"Meant is perhaps INPUT.MIN_SIZE_TEST {min(height, width)} INPUT.MAX_SIZE_TEST "
            f"{max(height, width)}."
        )


def suggest(key: str, cfg: CfgNode) -> str:
    """Says which key of a config is probably meant by one that it does not have."""
    known = list(flatten_values(cfg))
    if inside := [name for name in known if name.startswith(f"{key}.")]:
        return f"; it is a section, with {', '.join(inside[:6])}"
    wanted, last = key.upper(), key.upper().split(".")[-1]
    same = [name for name in known if name.split(".")[-1] == last]
    near = difflib.get_close_matches(wanted, known, 3, 0.75)
    tails = {name.split(".")[-1]: name for name in reversed(known)}
    alike = [tails[tail] for tail in difflib.get_close_matches(last, tails, 2, 0.75)]
    found = list(dict.fromkeys([*same, *near, *alike]))[:3]
    return f"; meant is perhaps {' or '.join(found)}" if found else ""


def _check_pooling(cfg: CfgNode, num_processes: int) -> None:
    """Refuses a batch of which a norm after global pooling would see a single value."""
    node = cfg.MODEL.KMAX_DEEPLAB
    seen = cfg.SOLVER.IMS_PER_BATCH // (1 if node.NORM == "SyncBN" else num_processes)
    if seen == 1 and node.USE_AUX_SEMANTIC_DECODER and node.AUX_SEMANTIC_WEIGHT > 0:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH} on {num_processes} processes with "
            f"{KMAX}.NORM {node.NORM!r}: batch norm would see one image, and the pooled branch of "
            "the auxiliary semantic decoder a single value. Use two images or more, or "
            f"{KMAX}.USE_AUX_SEMANTIC_DECODER False"
        )


def _check_ranges(
    values: dict[str, object],
    ranges: dict[tuple[float, float | None], Sequence[str]],
) -> None:
    for (least, most), keys in ranges.items():
        for key in keys:
            value = values[key]
            if value < least or (most is not None and value > most) or value != value:
                upto = f"{least} or more" if most is None else f"from {least} to {most}"
                raise ValueError(f"{key} is {value}: it must be {upto}")


def _check_sizes(cfg: CfgNode) -> None:
    size = list(cfg.INPUT.IMAGE_SIZE)
    if len(size) != 2 or any(side < 32 or side % 32 > 1 for side in size):
        raise ValueError(
            f"INPUT.IMAGE_SIZE {size} must be (height, width), each 32k + 1 (or 32k) pixels, "
            f"e.g. {[max(side // 32, 1) * 32 + 1 for side in size]}"
        )
    if not 0 < cfg.INPUT.MIN_SCALE <= cfg.INPUT.MAX_SCALE:
        raise ValueError(
            f"INPUT.MIN_SCALE is {cfg.INPUT.MIN_SCALE} and INPUT.MAX_SCALE "
            f"{cfg.INPUT.MAX_SCALE}: both must be above 0, and the second no less than the first"
        )
    if (
        len(cfg.MODEL.PIXEL_MEAN) != 3
        or len(cfg.MODEL.PIXEL_STD) != 3
        or not all(std > 0 for std in cfg.MODEL.PIXEL_STD)
    ):
        raise ValueError(
            f"MODEL.PIXEL_MEAN is {list(cfg.MODEL.PIXEL_MEAN)} and MODEL.PIXEL_STD "
            f"{list(cfg.MODEL.PIXEL_STD)}: both need three numbers, the latter above 0"
        )
