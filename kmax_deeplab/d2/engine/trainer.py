"""Detectron2's loop around our model, data and metrics.

In: the config of an opened run. Out: Detectron2's output directory (`log.txt`, `metrics.json`,
`model_*.pth`, `inference/`) and the evaluation results. Section "Recipe" of the paper's appendix
for optimiser and schedule, which live in `solver`.
"""

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset
from detectron2.data.build import get_detection_dataset_dicts
from detectron2.data.samplers import InferenceSampler
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.config.files import read_config_file
from kmax_deeplab.d2.config.run import describe_changes
from kmax_deeplab.d2.data.catalog import panoptic_jsons
from kmax_deeplab.d2.data.mapper import EvaluationMapper, build_train_mapper
from kmax_deeplab.d2.data.shared import forget
from kmax_deeplab.d2.data.stream import (
    TrainingStream,
    build_stream_loader,
    derive_seed,
    make_loader,
)
from kmax_deeplab.d2.engine.hooks import EarlyCheckpoint, EarlyLines
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.d2.engine.solver import build_lr_scheduler, build_optimizer, configured_rates
from kmax_deeplab.d2.engine.step import build_step
from kmax_deeplab.d2.evaluation.build import (
    build_evaluator,
    evaluated_records,
    verify,
    warn_of_excess,
)
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory
from kmax_deeplab.modeling.folding import folded_norms
from kmax_deeplab.run_folder import forget_metrics_from

logger = logging.getLogger(__name__)


def distribute(model: nn.Module, *, some_unused: bool = False) -> nn.Module:
    """Wraps a model for gradient averaging if there are several processes, on GPUs or on CPUs.

    Detectron2's `create_ddp_model` names a GPU even for a model on the CPU.

    Args:
        model: on its device.
        some_unused: whether parameters may get no gradient, which costs a look at all of them.
    """
    if comm.get_world_size() == 1:
        return model
    on_cpu = next(model.parameters()).device.type == "cpu"
    devices = None if on_cpu else [comm.get_local_rank()]
    return DistributedDataParallel(
        model,
        device_ids=devices,
        broadcast_buffers=False,
        find_unused_parameters=some_unused,
        gradient_as_bucket_view=True,  # which saves a copy of all gradients
    )


class Trainer(DefaultTrainer):
    """Detectron2's default trainer with our parts, on any device; resumable bit for bit where sums
    have a fixed order (a CPU with one thread a process).

    Everything random of an iteration follows from (seed, process, iteration), so a checkpoint holds
    no random state but the seed.
    """

    def __init__(self, cfg: CfgNode, categories: Categories | None = None) -> None:
        """Builds model, optimiser, schedule and hooks; the data comes with the first iteration.

        Args:
            cfg: of the run.
            categories: of the model; None: as the datasets of the config list them.
        """
        # DefaultTrainer's own constructor wraps the model for GPUs and reads the data at once.
        super(DefaultTrainer, self).__init__()
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        self.cfg = cfg
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        if cfg.MODEL.DEVICE == "cpu":
            keep_freed_memory()
        model = self.build_model(cfg, categories)
        optimizer = self.build_optimizer(cfg, model)
        # Without deep supervision the class heads of the k-means layers have no loss.
        some_unused = not cfg.MODEL.KMAX_DEEPLAB.DEEP_SUPERVISION
        distributed = distribute(model, some_unused=some_unused)
        self._trainer = build_step(cfg, distributed, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = KMaXCheckpointer(
            model,
            cfg.OUTPUT_DIR,
            reinitialize=cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE,
            config=cfg.dump(),
            trainer=weakref.proxy(self),
        )
        self.register_hooks(self.build_hooks())

    def begin(self, start: Path | None) -> None:
        """Loads where the run begins: a checkpoint to go on from, or MODEL.WEIGHTS.

        Raises:
            FileNotFoundError, ValueError: the weights are missing, damaged or do not fit.
        """
        if start is None:
            self.checkpointer.load(self.cfg.MODEL.WEIGHTS, checkpointables=[])
            return
        self.checkpointer.load_complete(str(start))
        self.start_iter = self.iter + 1
        before = Path(self.cfg.OUTPUT_DIR, "config.yaml")
        if before.is_file() and (changed := describe_changes(read_config_file(before), self.cfg)):
            logger.warning("Resumed with other settings, which hold from here on:\n%s", changed)

    def build_hooks(self) -> list[HookBase]:
        """Adds to Detectron2's hooks an early checkpoint and early lines."""
        built = super().build_hooks()
        if comm.is_main_process():
            built.append(EarlyLines(self.max_iter))
            built.insert(-2, EarlyCheckpoint(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD))
        return built

    def train(self) -> dict[str, Any] | None:
        """Trains from `start_iter` to `SOLVER.MAX_ITER`; returns the results of the evaluation."""
        logger.info(f"Seed of the run: {self.seed}")
        if comm.is_main_process():
            forget_metrics_from(Path(self.cfg.OUTPUT_DIR, "metrics.json"), self.start_iter)
        self.data_loader = self.build_train_loader(self.cfg, self.seed, self.start_iter)
        self._iterate()
        if comm.is_main_process():
            verify(self.cfg, self._last_eval_results)
        return self._last_eval_results

    def _iterate(self) -> None:
        """Runs all iterations and hooks; those of the end only if nothing went wrong."""
        # Detectron2's own loop evaluates after an error, and logs a traceback for every refusal.
        logger.info("Iterations %d to %d", self.start_iter + 1, self.max_iter)
        self.iter = self.start_iter
        with EventStorage(self.start_iter) as self.storage:
            self.before_train()
            while self.iter < self.max_iter:
                self.before_step()
                self.run_step()
                self.after_step()
                self.iter += 1
            self.after_train()

    def run_step(self) -> None:
        """Runs one iteration whose drop path and sampling depend on nothing that ran before.

        Raises:
            ValueError: a loss is NaN or infinite.
        """
        torch.manual_seed(derive_seed(self.seed, comm.get_rank(), self.iter))
        try:
            super().run_step()
        except FloatingPointError as error:
            raise ValueError(
                f"the training diverged: {error}. Its checkpoints are intact: continue with "
                "--resume and a lower SOLVER.BASE_LR"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        """Adds the seed to Detectron2's iteration, optimiser, schedule and gradient scale."""
        return {**super().state_dict(), "seed": self.seed, "processes": comm.get_world_size()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues with the seed of the run that wrote the checkpoint, and the config's rates."""
        with configured_rates(self._trainer.optimizer, self.scheduler):
            super().load_state_dict(state_dict)
        before, now = state_dict.get("processes"), comm.get_world_size()
        if before not in (None, now):
            logger.warning(
                f"The run had {before} processes and has {now} now: drop path and norm statistics "
                "of each process differ from what they would have been."
            )
        if self.cfg.SEED >= 0 and state_dict["seed"] != self.cfg.SEED:
            logger.warning(f"SEED {self.cfg.SEED} is ignored: the resumed run began with another.")
        self.seed = state_dict["seed"]

    @classmethod
    def build_model(cls, cfg: CfgNode, categories: Categories | None = None) -> nn.Module:
        """Builds the model on its device and logs one line of sizes."""
        model = build(cfg, categories, many_images=True)
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
        tested = panoptic_jsons(cfg.DATASETS.TEST)
        forget(path for path in panoptic_jsons(cfg.DATASETS.TRAIN) if path not in tested)
        stream = TrainingStream(records, build_train_mapper(cfg, records), seed)
        return build_stream_loader(
            stream, cfg.SOLVER.IMS_PER_BATCH, first_iteration, cfg.DATALOADER.NUM_WORKERS
        )

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: Sequence[DatasetEvaluator] | None = None
    ) -> dict[str, Any]:
        """Evaluates a model on `DATASETS.TEST`, its norms folded meanwhile."""
        with folded_norms(model):
            return super().test(cfg, model, evaluators)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """Builds this process's loader of one test dataset, `TEST.IMS_PER_BATCH` images a batch."""
        records = evaluated_records(cfg, dataset_name)
        mapper = EvaluationMapper(cfg, with_truth=cfg.MODEL.KMAX_DEEPLAB.TEST.PANOPTIC_ON)
        return make_loader(
            MapDataset(DatasetFromList(records, copy=False), mapper),
            InferenceSampler(len(records)),
            cfg.TEST.IMS_PER_BATCH,
            cfg.DATALOADER.NUM_WORKERS,
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Builds the evaluator of a test dataset, which writes to `inference/`.

        With several test datasets each has a folder of its own there.
        """
        folder = Path(cfg.OUTPUT_DIR, "inference")
        folder = folder / dataset_name if len(cfg.DATASETS.TEST) > 1 else folder
        return build_evaluator(cfg, dataset_name, str(folder))
