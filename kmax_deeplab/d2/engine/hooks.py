"""Hooks of a training beside Detectron2's: early lines and an early checkpoint."""

from detectron2.engine import HookBase
from detectron2.utils.events import CommonMetricPrinter

from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer

EARLY = (1, 2, 5, 10)
"""Iterations of this process after which a line is printed before the usual period begins."""


class EarlyLines(HookBase):
    """Prints the usual line of losses and pace after the first iterations of a process, too.

    Args:
        max_iter: last iteration, for the time left.
        period: of the usual lines, in iterations.
    """

    def __init__(self, max_iter: int, period: int = 20) -> None:
        self._printer = CommonMetricPrinter(max_iter)
        self._period = period

    def after_step(self) -> None:
        """Prints where `EARLY` says so and no usual line comes anyway."""
        done = self.trainer.iter + 1
        is_usual = done % self._period == 0 or done == self.trainer.max_iter
        if done - self.trainer.start_iter in EARLY and not is_usual:
            self._printer.write()


class EarlyCheckpoint(HookBase):
    """Saves once, after the first iterations of a run, so that a short one leaves something too.

    Args:
        checkpointer: saves `model_0000099.pth`.
        period: of the usual checkpoints; where it is no longer than `AT`, nothing is added.
    """

    AT = 100

    def __init__(self, checkpointer: KMaXCheckpointer, period: int) -> None:
        self._checkpointer, self._is_needed = checkpointer, period > self.AT

    def after_step(self) -> None:
        """Saves after iteration `AT`, unless it is the last one, which is saved anyway."""
        done = self.trainer.iter + 1
        if self._is_needed and done == self.AT < self.trainer.max_iter:
            self._checkpointer.save(f"model_{done - 1:07d}", iteration=done - 1)
