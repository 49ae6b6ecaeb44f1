"""A progress line: the trainer's loss and pace enter, one line that rewrites itself leaves."""

import time
from typing import TextIO

from detectron2.engine import HookBase

PERIOD = 1.0
"""Least seconds between two updates on a terminal."""
PERIOD_LOG = 30.0
"""The same where the stream is no terminal and every update is a line of its own."""


class ProgressLine(HookBase):
    """Shows iteration, total loss (median of 20 iterations) and time left while training."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._rewrites = stream.isatty()
        self._shown = 0.0
        self._begun = 0.0

    def before_train(self) -> None:
        self._begun = time.monotonic()
        if self.trainer.start_iter:
            self.stream.write(f"  continuing at iteration {self.trainer.start_iter}\n")

    def after_step(self) -> None:
        now = time.monotonic()
        last = self.trainer.iter + 1 == self.trainer.max_iter
        if now - self._shown < (PERIOD if self._rewrites else PERIOD_LOG) and not last:
            return
        self._shown = now
        done = self.trainer.iter + 1 - self.trainer.start_iter
        left = (now - self._begun) / done * (self.trainer.max_iter - self.trainer.iter - 1)
        self._show(self._describe(left), last)

    def _describe(self, seconds_left: float) -> str:
        loss = self.trainer.storage.history("total_loss").median(20)
        minutes, seconds = divmod(round(seconds_left), 60)
        return (
            f"  iteration {self.trainer.iter + 1:>5}/{self.trainer.max_iter}"
            f"   loss {loss:6.3f}   {minutes:2d}:{seconds:02d} min left"
        )

    def _show(self, line: str, last: bool) -> None:
        # The cursor stays at the beginning, where what others write takes the place of the line.
        start, end = ("\x1b[K", "\n" if last else "\r") if self._rewrites else ("", "\n")
        self.stream.write(start + line + end)
        self.stream.flush()
