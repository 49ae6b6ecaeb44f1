"""How long an iteration takes here: an opened run enters, seconds leave.

A few iterations of the very training are run, in a folder that goes away, so that what cannot be
trained is found out as well.
"""

import tempfile
import time
from itertools import pairwise
from statistics import median

from detectron2.utils.events import EventStorage

from kmax_deeplab.d2.engine.opening import Run
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.d2.suggest.machine import Machine

FIRST, RUNS = 2, 5
"""Iterations that are not measured, since they reserve memory, and those that are."""
MARGIN = 1.1
"""What logs and checkpoints take besides."""


def seconds_per_iteration(run: Run, machine: Machine) -> float:
    """Trains a few iterations and returns what one takes, in seconds.

    Args:
        run: opened to train; its config's OUTPUT_DIR changes.
        machine: that it runs on. Of a single thread the time that it computes is taken, in which
            whatever else uses the machine at the moment does not count.

    Raises:
        FileNotFoundError, ValueError: the weights or the data cannot be used.
    """
    alone = machine.threads == 1 and not machine.gpu
    clock = time.process_time if alone else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        run.cfg.OUTPUT_DIR, run.cfg.LOGGERS = folder, []
        trainer = Trainer(run.cfg, run.categories)
        trainer.begin(None)
        trainer.data_loader = trainer.build_train_loader(run.cfg, trainer.seed)
        moments = []
        with EventStorage() as trainer.storage:
            for trainer.iter in range(FIRST + RUNS):
                trainer.run_step()
                moments.append(clock())
    taken = [after - before for before, after in pairwise(moments[FIRST - 1 :])]
    return median(taken) * MARGIN
