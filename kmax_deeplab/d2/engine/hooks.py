"""What happens between iterations of a training: a trainer enters, its hooks leave, in order."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.engine.checkpoints import Checkpoints, KeepBest
from kmax_deeplab.d2.engine.evaluations import Evaluations, Writers
from kmax_deeplab.d2.engine.figures import MetricsFile
from kmax_deeplab.d2.engine.health import Health, Lines
from kmax_deeplab.d2.engine.loaders import build_train_loader
from kmax_deeplab.d2.engine.precise_norms import PreciseNorms
from kmax_deeplab.d2.engine.solver import images_per_step
from kmax_deeplab.d2.engine.stopping import StopWhenAsked
from kmax_deeplab.d2.engine.trackers import TRACKERS, TrackerWriter

if TYPE_CHECKING:
    from kmax_deeplab.d2.engine.trainer import Trainer


def build_hooks(trainer: "Trainer") -> tuple[Checkpoints, list[HookBase]]:
    """Builds Detectron2's hooks, and ours for checkpoints, health and an early end.

    Returns:
        the hook that saves, and all of them in order.
    """
    cfg, average, settings = trainer.cfg, trainer.average, trainer.cfg.CHECKPOINTER
    checkpointer = trainer.checkpointer
    checkpoints = Checkpoints(
        checkpointer,
        cfg.SOLVER.CHECKPOINT_PERIOD,
        settings.MAX_TO_KEEP,
        average and KMaXCheckpointer(average.model, cfg.OUTPUT_DIR, config=cfg.dump()),
    )
    built = [hooks.IterationTimer(), hooks.LRScheduler(), average]
    if cfg.TEST.PRECISE_BN.ENABLED:
        batches = partial(build_train_loader, cfg, trainer.seed)
        count = cfg.TEST.PRECISE_BN.NUM_ITER
        built.append(PreciseNorms(cfg.TEST.EVAL_PERIOD, checkpointer.model, batches, count))
    writers = Writers([], cfg.TEST.EVAL_PERIOD)
    if comm.is_main_process():
        writers = Writers(build_writers(cfg), cfg.TEST.EVAL_PERIOD)
        built += [Health(images_per_step(cfg), torch.device(cfg.MODEL.DEVICE)), Lines()]
    is_best_kept = settings.BEST and cfg.TEST.EVAL_PERIOD
    best = KeepBest(checkpointer, settings.BEST) if is_best_kept else None
    scores = (trainer.evaluate, best, writers, metrics_file(cfg))
    built += [writers, checkpoints, Evaluations(cfg.TEST.EVAL_PERIOD, *scores), best]
    return checkpoints, [*filter(None, built), StopWhenAsked(settings.TIME_LIMIT)]


def build_writers(cfg: CfgNode) -> list[EventWriter]:
    """Builds what keeps the figures: metrics.json, as Detectron2 writes it, and LOGGERS."""
    trackers = [TRACKERS[name][1](cfg) for name in cfg.LOGGERS]
    return [MetricsFile(metrics_file(cfg)), TrackerWriter(trackers)]


def metrics_file(cfg: CfgNode) -> Path:
    """Returns where the figures of a run are kept."""
    return Path(cfg.OUTPUT_DIR, "metrics.json")
