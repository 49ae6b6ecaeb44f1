"""Panoptic segmentation of image files without ground truth: paths enter, segments leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.run import adapt_to_machine, load_config
from kmax_deeplab.d2.data.classes import prepare_prediction
from kmax_deeplab.d2.data.labelled_files import read_image
from kmax_deeplab.d2.data.mapper import EvaluationMapper
from kmax_deeplab.d2.engine.checkpointer import KMaXCheckpointer, classes_of_weights
from kmax_deeplab.data.check.json_check import IMAGE_SUFFIXES, find_files
from kmax_deeplab.data.format.categories import Categories


@dataclass(frozen=True)
class PredictedImage:
    """What the model sees in an image.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        panoptic: (H, W) int32 segment ids, 0 where void.
        segments_info: per segment "id", "category_id" (contiguous), "isthing".
    """

    image: np.ndarray
    panoptic: np.ndarray
    segments_info: list[dict]


class Predictor:
    """Predicts one image file after another, as the evaluation of a config does.

    Args:
        cfg: describes the test-time input.
        model: the meta-architecture; it is left in evaluation mode.
        categories: names of the classes, in the order of the model's outputs.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, categories: Categories) -> None:
        self.model, self.categories = model.eval(), categories
        self.num_queries = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES
        self._mapper = EvaluationMapper(cfg)

    @classmethod
    def open(
        cls,
        config_file: str | Path,
        weights: str | Path = "",
        options: Sequence[str] = (),
        given: Categories | None = None,
    ) -> "Predictor":
        """Builds the model of a config for this machine and loads its weights.

        Args:
            config_file: YAML file, for instance `config.yaml` of a run.
            weights: checkpoint; default: MODEL.WEIGHTS of the config.
            options: alternating keys and values that the config is changed with.
            given: the classes, with ids of their own; default: those that the checkpoint names,
                or else the config's dataset.

        Raises:
            FileNotFoundError, ValueError: config, classes or weights are missing, cannot be or do
                not fit each other.
        """
        cfg = load_config(str(config_file), options)
        cfg.MODEL.WEIGHTS = str(weights) or cfg.MODEL.WEIGHTS
        adapt_to_machine(cfg)
        validate(cfg)
        categories = prepare_prediction(cfg, given, classes_of_weights(cfg, train=False))
        test = cfg.MODEL.KMAX_DEEPLAB.TEST
        test.PANOPTIC_ON, test.SEMANTIC_ON, test.INSTANCE_ON = True, False, False
        model = build_model(cfg)
        KMaXCheckpointer(model).load_complete(cfg.MODEL.WEIGHTS)
        return cls(cfg, model, categories)

    @torch.no_grad()
    def __call__(self, path: str | Path) -> PredictedImage:
        """Predicts an image.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImageError: it is damaged, no image, or of a kind that is not looked at.
        """
        image = read_image(str(path), "RGB")
        inputs = self._mapper({"file_name": str(path)})
        panoptic, segments = self.model([inputs])[0]["panoptic_seg"]
        return PredictedImage(image, panoptic.cpu().numpy().astype(np.int32), segments)


def name_images(paths: Sequence[Path]) -> dict[str, Path]:
    """Finds images and names each by its path below the given folder, without suffix.

    Args:
        paths: images of any name, and folders that are searched with their subfolders.

    Returns:
        Path by name, in order.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: a folder holds no image, or two images have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        root = path if path.is_dir() else path.parent
        found = list(find_files([path], IMAGE_SUFFIXES)) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
        for image in found:
            name = image.relative_to(root).with_suffix("").as_posix()
            if (other := named.setdefault(name, image)) != image:
                raise ValueError(
                    f"{other} and {image} would both be named {name!r}: rename one, or predict "
                    "them one after the other into different folders"
                )
    return named
