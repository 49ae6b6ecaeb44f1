"""Opening a run: a config file or a checkpoint and words enter; a fitting config, classes and the
model with its weights leave.

`train_net.py` and all tools go this way. A checkpoint of ours alone is enough: it holds the config
that made it, and a file is needed only to deviate.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.checkpoint.identity import Identity, identity_of, read_identity
from kmax_deeplab.checkpoint.parts import CLASSES
from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.files import read_config_file, read_config_text
from kmax_deeplab.d2.config.run import adapt_to_machine, merge_config
from kmax_deeplab.d2.data.classes import first_classes, prepare_datasets, prepare_prediction
from kmax_deeplab.d2.ranks.group import from_main, load_once
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.modeling.compilation import missing_to_compile
from kmax_deeplab.modeling.initial import Undrawn

logger = logging.getLogger(__name__)

TRAIN, EVALUATE, PREDICT, NO_DATA = "train", "evaluate", "predict", "no data"
"""What a run is opened for: which of its datasets have to be there."""


@dataclass(frozen=True)
class Run:
    """An opened run.

    Attributes:
        cfg: not frozen; fits machine and data.
        categories: of the model; None if they are not asked for.
        sentences: what was decided, to be told.
    """

    cfg: CfgNode
    categories: Categories | None = None
    sentences: list[str] = field(default_factory=list)


def open_run(
    config_file: str | Path | None,
    options: Sequence[str] = (),
    *,
    weights: str | Path = "",
    purpose: str = EVALUATE,
    given: Categories | None = None,
) -> Run:
    """Reads a config (`read_config`) and fits it to this machine, the weights and the data (`fit`).

    Raises:
        FileNotFoundError, ValueError: config, key, value, weights or data are missing, cannot be or
            do not fit each other.
    """
    return fit(read_config(config_file, options, weights), purpose, given=given)


def fit(
    cfg: CfgNode,
    purpose: str,
    *,
    start: Path | None = None,
    given: Categories | None = None,
    num_processes: int = 1,
) -> Run:
    """Fits a config to this machine, the weights and the data.

    Args:
        cfg: changes.
        purpose: one of the above.
        start: checkpoint that a training goes on from, in the place of MODEL.WEIGHTS.
        given: for prediction, the classes with ids of their own.
        num_processes: of the run on this machine.

    Raises:
        FileNotFoundError, ValueError: a value cannot be, or weights or data are missing or do not
            fit.
    """
    sentences = adapt_to_machine(cfg, num_processes)
    validate(cfg)
    if purpose == NO_DATA:
        return Run(cfg, None, sentences)
    train = purpose == TRAIN
    classes = from_main(identity_of_weights, cfg, start, train).categories
    if purpose == PREDICT:
        return Run(cfg, prepare_prediction(cfg, given, classes), sentences)
    sentences += prepare_datasets(cfg, train=train, classes=classes)
    _, categories = first_classes((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST), classes)
    return Run(cfg, categories, sentences)


def open_model(
    cfg: CfgNode,
    categories: Categories | None,
    weights: str | Path = "",
    *,
    many_images: bool = False,
) -> nn.Module:
    """Builds the model of an opened run and fills it, to predict only.

    Args:
        cfg: from `open_run`.
        categories: likewise.
        weights: in the place of MODEL.WEIGHTS.
        many_images: whether it sees so many that compiling it pays.

    Raises:
        FileNotFoundError, ValueError: the weights are missing or do not fit.
    """
    model = build(cfg, categories, many_images=many_images)
    checkpointer = KMaXCheckpointer(model)
    load_once(lambda: checkpointer.load_complete(str(weights or cfg.MODEL.WEIGHTS)), model)
    return model.only_predict()


def build(
    cfg: CfgNode, categories: Categories | None = None, *, many_images: bool = False
) -> nn.Module:
    """Builds MODEL.META_ARCHITECTURE on its device.

    Args:
        cfg: the config.
        categories: of the model; None: those of the config's datasets.
        many_images: whether it sees so many that compiling it pays.
    """
    given = {} if categories is None else {"categories": categories}
    cfg = _decide_compilation(cfg) if many_images else cfg
    tf32 = cfg.MODEL.KMAX_DEEPLAB.TF32  # of the whole process, as PyTorch has it
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg, **given)
    return model.to(cfg.MODEL.DEVICE)


def _decide_compilation(cfg: CfgNode) -> CfgNode:
    """Decides what COMPILE "auto" means on this machine, in a copy: checkpoints go to others."""
    if cfg.MODEL.KMAX_DEEPLAB.COMPILE != "auto" or not cfg.MODEL.DEVICE.startswith("cuda"):
        return cfg
    if missing := missing_to_compile():
        logger.warning("Nothing is compiled, which costs speed: this machine lacks %s.", missing)
        return cfg
    decided = cfg.clone()
    decided.defrost()
    decided.MODEL.KMAX_DEEPLAB.COMPILE = "inductor"
    return decided


def identity_of_config(cfg: CfgNode, categories: Categories | None = None) -> Identity:
    """Returns what a checkpoint of a config's model should say of it; no memory is taken for it.

    Args:
        cfg: the config.
        categories: of the model; None: those of the config's datasets, or a benchmark's.
    """
    on_meta = cfg.clone()
    on_meta.defrost()
    on_meta.MODEL.DEVICE = "meta"
    with torch.device("meta"), Undrawn():
        model = build(on_meta, categories)
    return identity_of(model, cfg.dump())


def read_config(
    config_file: str | Path | None, options: Sequence[str] = (), weights: str | Path = ""
) -> CfgNode:
    """Reads a config from a file, or from the checkpoint that it made.

    Raises:
        FileNotFoundError, ValueError: neither is there, or it cannot be.
    """
    if config_file:
        content, origin = read_config_file(config_file), str(config_file)
    else:
        content, origin = _config_of(weights), f"the config in {weights}"
    cfg = merge_config(content, origin, options)
    cfg.MODEL.WEIGHTS = str(weights) or cfg.MODEL.WEIGHTS
    return cfg


def _config_of(weights: str | Path) -> dict:
    if not weights:
        raise ValueError("name a config (--config-file) or a checkpoint that holds its own")
    text = read_identity(weights).config if os.path.isfile(weights) else None
    if text is None:
        missing = "does not say which config made it" if os.path.isfile(weights) else "is not there"
        raise ValueError(f"{weights} {missing}: name its config with --config-file")
    return read_config_text(text, f"the config in {weights}")


def identity_of_weights(cfg: CfgNode, start: Path | None, train: bool) -> Identity:
    """Returns what the weights that a run begins with say about their model.

    Args:
        cfg: names the weights, and what of them begins anew.
        start: checkpoint that a run goes on from, in their place.
        train: whether parts may begin anew; then weights of other classes will do.
    """
    if start is None and train and CLASSES in cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE:
        return Identity()
    path = str(start or cfg.MODEL.WEIGHTS)
    is_file = path and "://" not in path and os.path.isfile(path)
    return read_identity(path) if is_file else Identity()
