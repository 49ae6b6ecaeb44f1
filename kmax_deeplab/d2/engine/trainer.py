"""Detectron2's loop around our model, data and metrics.

In: the config of an opened run. Out: Detectron2's output directory (`log.txt`, `metrics.json`,
`model_*.pth`, `inference/`) and the evaluation results. Section "Recipe" of the paper's appendix
for optimiser and schedule, which live in `solver`.
"""

import logging
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.config.files import read_config_file
from kmax_deeplab.d2.config.run import describe_changes
from kmax_deeplab.d2.data.damage import counted
from kmax_deeplab.d2.data.stream import derive_seed
from kmax_deeplab.d2.engine.averaging import AveragedWeights, Saved
from kmax_deeplab.d2.engine.distribute import distribute
from kmax_deeplab.d2.engine.hooks import build_hooks, metrics_file
from kmax_deeplab.d2.engine.loaders import build_train_loader
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.d2.engine.pictures import show_examples
from kmax_deeplab.d2.engine.solver import (
    build_lr_scheduler,
    build_optimizer,
    configured_rates,
    describe_batch,
    images_per_step,
    require_same_optimizer,
)
from kmax_deeplab.d2.engine.step import build_step, has_unused_parameters
from kmax_deeplab.d2.engine.stopping import StopRequestedError
from kmax_deeplab.d2.engine.testing import Tester
from kmax_deeplab.d2.evaluation.build import verify
from kmax_deeplab.d2.ranks.group import end_all, from_main, load_once, patient_barrier, tell
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory
from kmax_deeplab.run_folder import forget_metrics_from

logger = logging.getLogger(__name__)


class Trainer(Tester):
    """Detectron2's default trainer with our parts, on any device; resumable bit for bit where sums
    have a fixed order (a CPU with one thread a process).

    Everything random follows from the seed of the run and the position of an image in its data, so
    that a checkpoint holds no random state but the seed, and processes may be more or fewer.

    Attributes:
        stopped: why the training ended early; empty if it did not.
        is_evaluating: whether it evaluates at the moment.
        evaluation_seconds: that evaluations have taken since it began.
        done: iterations whose steps are done, of this process and those before.
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
        self.first_position, self.done, self.stopped = 0, 0, ""
        self.is_evaluating, self.evaluation_seconds = False, 0.0
        if cfg.MODEL.DEVICE == "cpu":
            keep_freed_memory()
        model = self.build_model(cfg, categories)
        optimizer = self.build_optimizer(cfg, model)
        distributed = distribute(model, some_unused=has_unused_parameters(cfg))
        self._trainer = build_step(cfg, distributed, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        ema = cfg.SOLVER.EMA
        self.average = AveragedWeights(model, ema.DECAY) if ema.ENABLED else None
        averages = {"ema": Saved(self.average)} if self.average else {}
        self.checkpointer = KMaXCheckpointer(
            model,
            cfg.OUTPUT_DIR,
            reinitialize=cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE,
            config=cfg.dump(),
            trainer=weakref.proxy(self),
            **averages,
        )
        self.register_hooks(self.build_hooks())

    def begin(self, start: Path | None) -> None:
        """Loads where the run begins: a checkpoint to go on from, or MODEL.WEIGHTS.

        Raises:
            FileNotFoundError, ValueError: the weights are missing, damaged or do not fit.
        """
        models = [m for m in (self.checkpointer.model, self.average and self.average.model) if m]
        if start is None:
            weights = self.cfg.MODEL.WEIGHTS
            load_once(lambda: self.checkpointer.load(weights, checkpointables=[]), *models)
            return
        load_once(lambda: self.checkpointer.load_complete(str(start)), *models)
        self._loaded = from_main(lambda: self._loaded)
        if not comm.is_main_process():
            self.load_state_dict(self._loaded)
        self._loaded = None
        if self.average:
            self.average.is_loaded = from_main(lambda: self.average.is_loaded)
        self.start_iter = self.done = self.iter + 1
        if self.start_iter > self.max_iter:
            raise ValueError(
                f"{start} stands at iteration {self.start_iter}, SOLVER.MAX_ITER is "
                f"{self.max_iter}: there is nothing to train; evaluate it with --eval-only"
            )
        before = Path(self.cfg.OUTPUT_DIR, "config.yaml")
        if before.is_file() and (changed := describe_changes(read_config_file(before), self.cfg)):
            logger.warning("Resumed with other settings, which hold from here on:\n%s", changed)

    def build_hooks(self) -> list[HookBase]:
        """Builds Detectron2's hooks, and ours for checkpoints, health and an early end."""
        self.checkpoints, built = build_hooks(self)
        return built

    def stop(self, reason: str) -> None:
        """Ends the training after this iteration, with a checkpoint."""
        self.stopped = reason
        self.checkpoints.save()

    def evaluate(self) -> dict[str, Any]:
        """Evaluates the model, and the average of its weights if there is one."""
        began, self.is_evaluating = time.perf_counter(), True
        tell(f"evaluating after iteration {self.done}")
        results = self.test(self.cfg, self.model)
        if self.average:
            results = {**results, "ema": self.test(self.cfg, self.average.model, folder="ema")}
        if comm.is_main_process() and self.cfg.LOGGERS:
            for name, picture in show_examples(self.cfg, self.checkpointer.model):
                self.storage.put_image(f"examples/{name}", picture.transpose(2, 0, 1))
        patient_barrier()
        self.evaluation_seconds += time.perf_counter() - began
        self.is_evaluating = False
        self._last_eval_results = results
        return results

    @property
    def is_step_skipped(self) -> bool:
        """Whether the last step changed nothing, because it was not finite."""
        return self._trainer.skipped_in_row > 0

    def train(self) -> dict[str, Any] | None:
        """Trains from `start_iter` to `SOLVER.MAX_ITER`; returns the results of the evaluation."""
        logger.info(
            f"Seed of the run: {self.seed}. {describe_batch(self.cfg, comm.get_world_size())}"
        )
        if comm.is_main_process():
            forget_metrics_from(metrics_file(self.cfg), self.start_iter)
        batches = self.build_train_loader(self.cfg, self.seed, self.first_position)
        self.data_loader = counted(batches, self.cfg.DATALOADER.MAX_DAMAGED)
        try:
            self._iterate()
        except StopRequestedError as error:  # during an evaluation, which the main process ends
            self.stopped = str(error)
            if self.done < self.max_iter:  # what the last iteration left is saved
                self.checkpoints.save_alone()
            end_all(f"{error} during an evaluation; the training is saved")
        if self.stopped:
            logger.warning(
                "Stopped by %s after iteration %d of %d; go on with --resume.",
                *(self.stopped, self.done, self.max_iter),
            )
            return None
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
                if self.stopped:
                    break
                self.iter += 1
            self.after_train()

    def run_step(self) -> None:
        """Runs one iteration, in which nothing random depends on what ran before.

        Raises:
            ValueError: too many steps in a row were not finite.
        """
        torch.manual_seed(derive_seed(self.seed, comm.get_rank(), self.iter))  # for others' layers
        try:
            super().run_step()
        except FloatingPointError as error:
            raise ValueError(
                f"the training diverged: {error}. Its checkpoints are intact: continue with "
                "--resume and a lower SOLVER.BASE_LR"
            ) from error
        self.done = self.iter + 1

    def state_dict(self) -> dict[str, Any]:
        """Adds the seed to Detectron2's iteration, optimiser, schedule and gradient scale."""
        images = (self.done - self.start_iter) * images_per_step(self.cfg)
        own = {
            "iteration": self.done - 1,
            "seed": self.seed,
            "processes": comm.get_world_size(),
            "position": self.first_position + images,
        }
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues with seed and data of the checkpoint's run, and the rates of the config.

        Raises:
            ValueError: its optimiser is another one, or of other parameters.
        """
        self._loaded = state_dict
        require_same_optimizer(self._trainer.optimizer, state_dict["_trainer"]["optimizer"])
        with configured_rates(self._trainer.optimizer, self.scheduler):
            super().load_state_dict(state_dict)
        before, now = state_dict.get("processes"), comm.get_world_size()
        if before not in (None, now):
            logger.warning(f"The run had {before} processes and has {now} now.")
        images = (state_dict["iteration"] + 1) * images_per_step(self.cfg)
        self.first_position = state_dict.get("position", images)
        if self.cfg.SEED >= 0 and state_dict["seed"] != self.cfg.SEED:
            logger.warning(f"SEED {self.cfg.SEED} is ignored: the resumed run began with another.")
        self.seed = state_dict["seed"]

    @classmethod
    def build_model(cls, cfg: CfgNode, categories: Categories | None = None) -> nn.Module:
        """Builds the model on its device and logs one line of sizes."""
        model = build(cfg, categories, many_images=True)
        if cfg.MODEL.KMAX_DEEPLAB.FREEZE:
            model.freeze(cfg.MODEL.KMAX_DEEPLAB.FREEZE)
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
    def build_train_loader(cls, cfg: CfgNode, seed: int = 0, first_position: int = 0) -> DataLoader:
        """Builds this process's loader of `DATASETS.TRAIN`, from a position in its data on.

        Raises:
            ValueError: another `DATALOADER.SAMPLER_TRAIN` than the one that exists here.
        """
        return build_train_loader(cfg, seed, first_position)
