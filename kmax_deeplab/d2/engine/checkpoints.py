"""When checkpoints are written, and which of them stay: a training enters, its folder changes."""

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.ranks.group import patient_barrier

logger = logging.getLogger(__name__)

EARLY = 100
"""Iterations after which a run saves once, so that a short one leaves something too."""
FINAL, BEST = "model_final", "model_best"
NUMBERED = re.compile(r"model_\d{7}\.pth")


class Checkpoints(HookBase):
    """Saves every few iterations, early, at the end, and when asked to.

    Args:
        checkpointer: writes them.
        period: iterations between two.
        most: newest numbered checkpoints that are kept; 0 keeps all.
        averaged: writes the averaged weights alone at the end, if there are such.
    """

    def __init__(
        self,
        checkpointer: KMaXCheckpointer,
        period: int,
        most: int = 0,
        averaged: KMaXCheckpointer | None = None,
    ) -> None:
        self._checkpointer, self._period, self._most = checkpointer, period, most
        self._averaged, self._saved = averaged, -1

    def after_step(self) -> None:
        """Saves if it is time."""
        done = self.trainer.done
        if done % self._period == 0 or done == EARLY < self.trainer.max_iter:
            self.save()
        if done == self.trainer.max_iter:
            if self._averaged:  # first: the last one that is written is gone on from
                self._averaged.save(f"{FINAL}_ema")
            self._checkpointer.save(FINAL, iteration=done - 1)
            patient_barrier()

    def save(self) -> None:
        """Saves what the last iteration left, unless it is saved already; forgets old ones."""
        if self._saved == self.trainer.done:
            return
        self.save_alone()
        patient_barrier()  # others would wait for the disk in a collective, which has a time-out

    def save_alone(self) -> None:
        """Does so in the main process, without a word to the others."""
        last = self.trainer.done - 1
        self._checkpointer.save(f"model_{last:07d}", iteration=last)
        self._saved = self.trainer.done
        if comm.is_main_process() and self._most:
            folder = Path(self._checkpointer.save_dir)
            numbered = sorted(p for p in folder.glob("model_*.pth") if NUMBERED.fullmatch(p.name))
            for path in numbered[: -self._most]:
                path.unlink()


class KeepBest(HookBase):
    """Keeps the checkpoint with the best score of all evaluations as `model_best.pth`.

    Args:
        checkpointer: writes it.
        metric: name of a score, higher is better.
    """

    def __init__(self, checkpointer: KMaXCheckpointer, metric: str) -> None:
        self._checkpointer, self._metric = checkpointer, metric
        self._best: tuple[float, int] | None = None

    def look(self, scores: Mapping[str, float]) -> None:
        """Saves the model that was evaluated just now if it is better than ever.

        Args:
            scores: of the evaluation, in the main process, which writes.
        """
        if self._metric not in scores:
            logger.warning(
                "CHECKPOINTER.BEST is %r, which the evaluation does not give: no %s.pth is kept. "
                "There are %s",
                *(self._metric, BEST, ", ".join(name for name in scores if "-" not in name)),
            )
            return
        score, done = scores[self._metric], self.trainer.done
        if not score > (self._best[0] if self._best else -math.inf):  # never, if it is NaN
            return
        self._best = (score, done - 1)
        self._checkpointer.save(BEST, iteration=done - 1)
        logger.info("%s %.4f is the best so far: kept as %s.pth", self._metric, score, BEST)

    def state_dict(self) -> dict[str, Any]:
        """Returns the best score and its iteration."""
        return {"best": self._best} if self._best else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the best score of the run that is resumed."""
        self._best = tuple(state_dict["best"])
