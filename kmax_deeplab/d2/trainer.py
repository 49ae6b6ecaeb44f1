"""A run: settings from the command line, then Detectron2's loop around our model, data and metrics.

In: the parsed command line (`setup`), the config it names. Out: Detectron2's output directory
(`config.yaml`, `log.txt`, `metrics.json`, `model_*.pth`, `inference/`) and the evaluation results.
Section "Recipe" of the paper's appendix for optimiser and schedule, which live in `solver`.
"""

import argparse
import logging
import weakref
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_test_loader
from detectron2.data.build import get_detection_dataset_dicts
from detectron2.engine import AMPTrainer, DefaultTrainer, SimpleTrainer, default_setup
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from kmax_deeplab.d2.checkpointer import KMaXCheckpointer, classes_of_weights
from kmax_deeplab.d2.config import validate
from kmax_deeplab.d2.data_stream import TrainingStream, build_stream_loader, derive_seed
from kmax_deeplab.d2.evaluation import (
    build_evaluator,
    evaluated_records,
    verify,
    warn_of_excess,
)
from kmax_deeplab.d2.mapper import EvaluationMapper, build_train_mapper
from kmax_deeplab.d2.metrics_log import forget_metrics_from
from kmax_deeplab.d2.preparation import prepare_datasets
from kmax_deeplab.d2.run_config import adapt_to_machine, load_config
from kmax_deeplab.d2.solver import build_lr_scheduler, build_optimizer
from kmax_deeplab.heap import keep_freed_memory

logger = logging.getLogger(__name__)


def setup(args: argparse.Namespace) -> CfgNode:
    """Builds, checks and logs the config of a run; registers and checks the datasets it names.

    Args:
        args: what `detectron2.engine.default_argument_parser` returns.

    Returns:
        The frozen config.

    Raises:
        FileNotFoundError, KeyError, ValueError: a config, key, value or dataset that cannot be.
    """
    cfg = load_config(args.config_file, args.opts)
    changes = adapt_to_machine(cfg)
    validate(cfg)
    # Before the config is written; an evaluation needs none of the training files.
    classes = classes_of_weights(cfg, resume=args.resume, train=not args.eval_only)
    changes += prepare_datasets(cfg, train=not args.eval_only, classes=classes)
    cfg.freeze()
    setup_logger(cfg.OUTPUT_DIR, comm.get_rank(), name="kmax_deeplab", abbrev_name="kmax")
    default_setup(cfg, args)
    for change in changes:
        logger.info(change)
    if cfg.MODEL.DEVICE == "cpu" and comm.get_world_size() > 1:
        torch.set_num_threads(max(torch.get_num_threads() // comm.get_local_size(), 1))
    return cfg


def distribute(model: nn.Module) -> nn.Module:
    """Wraps a model for gradient averaging if there are several processes, on GPUs or on CPUs.

    Detectron2's `create_ddp_model` names a GPU even for a model on the CPU.
    """
    if comm.get_world_size() == 1:
        return model
    on_cpu = next(model.parameters()).device.type == "cpu"
    devices = None if on_cpu else [comm.get_local_rank()]
    return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


class Trainer(DefaultTrainer):
    """Detectron2's default trainer with our parts, on any device, resumable bit for bit.

    Everything random of an iteration follows from (seed, process, iteration), so a checkpoint holds
    no random state but the seed.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Builds model, optimiser, schedule and hooks; the data comes with the first iteration."""
        # DefaultTrainer's own constructor wraps the model for GPUs and reads the data at once.
        super(DefaultTrainer, self).__init__()
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        self.cfg = cfg
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        if cfg.MODEL.DEVICE == "cpu":
            keep_freed_memory()
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        step = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = step(distribute(model), None, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = KMaXCheckpointer(
            model,
            cfg.OUTPUT_DIR,
            reinitialize=cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE,
            trainer=weakref.proxy(self),
        )
        self.register_hooks(self.build_hooks())

    def train(self) -> dict[str, Any] | None:
        """Trains from `start_iter` to `SOLVER.MAX_ITER`; returns the results of the evaluation."""
        logger.info(f"Seed of the run: {self.seed}")
        if comm.is_main_process():
            forget_metrics_from(Path(self.cfg.OUTPUT_DIR, "metrics.json"), self.start_iter)
        self.data_loader = self.build_train_loader(self.cfg, self.seed, self.start_iter)
        # DefaultTrainer's own `train` verifies the results of one dataset only.
        super(DefaultTrainer, self).train(self.start_iter, self.max_iter)
        if comm.is_main_process():
            verify(self.cfg, self._last_eval_results)
        return self._last_eval_results

    def run_step(self) -> None:
        """Runs one iteration whose drop path and sampling depend on nothing that ran before."""
        torch.manual_seed(derive_seed(self.seed, comm.get_rank(), self.iter))
        super().run_step()

    def state_dict(self) -> dict[str, Any]:
        """Adds the seed to Detectron2's iteration, optimiser, schedule and gradient scale."""
        return {**super().state_dict(), "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues with the seed of the run that wrote the checkpoint."""
        super().load_state_dict(state_dict)
        if self.cfg.SEED >= 0 and state_dict["seed"] != self.cfg.SEED:
            logger.warning(f"SEED {self.cfg.SEED} is ignored: the resumed run began with another.")
        self.seed = state_dict["seed"]

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Builds the model on its device and logs one line of sizes."""
        model = build_model(cfg)
        parts = ", ".join(
            f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M"
            for name, part in model.named_children()
        )
        logger.info(f"{cfg.MODEL.META_ARCHITECTURE} on {cfg.MODEL.DEVICE}, parameters: {parts}")
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> Optimizer:
        """Builds AdamW with the recipe's parameter groups."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: Optimizer) -> LRScheduler:
        """Builds the learning-rate schedule named by `SOLVER.LR_SCHEDULER_NAME`."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(
        cls, cfg: CfgNode, seed: int = 0, first_iteration: int = 0
    ) -> DataLoader:
        """Builds this process's loader of `DATASETS.TRAIN`, from an iteration on.

        Raises:
            ValueError: another `DATALOADER.SAMPLER_TRAIN` than the one that exists here.
        """
        if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
            raise ValueError(
                f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}: only "
                "'TrainingSampler' (shuffled epochs) is supported"
            )
        found = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=False)
        warn_of_excess(cfg, " + ".join(cfg.DATASETS.TRAIN), found)
        records = DatasetFromList(found, copy=False)  # one serialised list, shared by all workers
        stream = TrainingStream(records, build_train_mapper(cfg, records), seed)
        return build_stream_loader(
            stream, cfg.SOLVER.IMS_PER_BATCH, first_iteration, cfg.DATALOADER.NUM_WORKERS
        )

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """Builds this process's loader of one test dataset, `TEST.IMS_PER_BATCH` images a batch."""
        return build_detection_test_loader(
            evaluated_records(cfg, dataset_name),
            mapper=EvaluationMapper(cfg),
            batch_size=cfg.TEST.IMS_PER_BATCH,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Builds the evaluator of a test dataset, which writes to `inference/`.

        With several test datasets each has a folder of its own there.
        """
        folder = Path(cfg.OUTPUT_DIR, "inference")
        folder = folder / dataset_name if len(cfg.DATASETS.TEST) > 1 else folder
        return build_evaluator(cfg, dataset_name, str(folder))
