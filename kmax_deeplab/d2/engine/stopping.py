"""Stopping early without loss: a signal or a time limit enters, a checkpoint and an end leave.

All ranks stop after the same iteration: each says in every iteration whether it was asked to, and
hears in the next one what the others said.
"""

import logging
import signal
import threading
import time
from types import FrameType

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import distributed

from kmax_deeplab.d2.ranks import group

logger = logging.getLogger(__name__)

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
TIME_LIMIT = 1 << 10
"""Reason beside the numbers of signals."""
ECHO = 2.0
"""Seconds within which a signal comes twice: from a terminal, and passed on by a launcher."""
BEGAN = time.monotonic()
"""When this process began, by the clock of time limits."""


class StopRequestedError(Exception):
    """A signal came while nothing was trained; the message names it."""


class StopWhenAsked(HookBase):
    """Ends a training after an iteration, saved, on a signal or when its time is over.

    A second Ctrl-C ends the process at once. During an evaluation nothing is trained, so that the
    first signal ends it, too.

    Args:
        time_limit: seconds since the main process began; 0: none.
    """

    def __init__(self, time_limit: float = 0) -> None:
        self._time_limit = time_limit
        self._asked, self._asked_at, self._before = 0, 0.0, {}
        self._waiting: tuple[distributed.Work, torch.Tensor] | None = None

    def before_train(self) -> None:
        """Takes over the signals, which only the main thread of a process can."""
        if threading.current_thread() is threading.main_thread():
            found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
            self._before = {number: signal.signal(number, self._note) for number in found}

    def after_step(self) -> None:
        """Stops the training if any rank was asked to."""
        is_main = comm.is_main_process()  # whose clock holds for all
        if self._time_limit and is_main and time.monotonic() - BEGAN > self._time_limit:
            self._asked = self._asked or TIME_LIMIT
        reason = self._asked if comm.get_world_size() == 1 else self._hear_all()
        if reason:
            self.trainer.stop(_name(reason))

    def after_train(self) -> None:
        """Gives the signals back."""
        if self._waiting:
            self._waiting[0].wait()
            self._waiting = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear_all(self) -> int:
        """Returns what any rank said in the last iteration, the same in all; says what is new."""
        heard = 0
        if self._waiting:
            work, said = self._waiting
            work.wait()
            heard = int(said)
        said = torch.tensor(self._asked)
        settings = {"group": group.object_group(), "async_op": True}
        self._waiting = (
            distributed.all_reduce(said, distributed.ReduceOp.MAX, **settings),
            said,
        )
        return heard

    def _note(self, number: int, _: FrameType | None) -> None:
        name, is_first = _name(number), not self._asked
        if is_first:
            self._asked, self._asked_at = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._asked_at > ECHO:
            raise KeyboardInterrupt(name)
        if not is_first:
            return
        if self.trainer.is_evaluating and comm.is_main_process():
            raise StopRequestedError(name)
        logger.warning("%s: stopping after this iteration, with a checkpoint.", name)


def _name(reason: int) -> str:
    return "CHECKPOINTER.TIME_LIMIT" if reason == TIME_LIMIT else signal.Signals(reason).name
