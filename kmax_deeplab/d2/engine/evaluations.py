"""When a training is evaluated, and when its figures are written: every kill leaves all of them.

Figures are written before the checkpoint of their iteration, so that who resumes from it has them.
Those of an evaluation stand behind the iteration; a run that was killed in one evaluates again.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.events import EventWriter

from kmax_deeplab.d2.engine.checkpoints import KeepBest
from kmax_deeplab.d2.engine.figures import WINDOW
from kmax_deeplab.d2.ranks.group import from_main, patient_barrier
from kmax_deeplab.run_folder import has_scores


class Writers(HookBase):
    """Has writers write every few iterations, and at the end.

    Args:
        writers: of the main process; others have none.
        evaluation_period: iterations between two evaluations, before which they write, too.
    """

    def __init__(self, writers: Sequence[EventWriter], evaluation_period: int) -> None:
        self._writers = writers
        self._periods = [WINDOW, *filter(None, [evaluation_period])]

    def after_step(self) -> None:
        """Writes if it is time."""
        done = self.trainer.iter + 1
        is_due = any(done % period == 0 for period in self._periods)
        if is_due or done == self.trainer.max_iter:
            self.write()

    def after_train(self) -> None:
        """Writes what is left of a training that was stopped."""
        self.write()

    def write(self) -> None:
        """Writes what is new."""
        for writer in self._writers:
            writer.write()

    def close(self) -> None:
        """Ends."""
        for writer in self._writers:
            writer.close()


class Evaluations(HookBase):
    """Evaluates every few iterations and at the end; its figures are those of as many iterations.

    Args:
        period: iterations between two evaluations, beside the one at the end; 0: that one alone.
        evaluate: returns nested scores in the main process.
        best: keeps the best model, if one is to be kept.
        writers: which show them at once.
        metrics: the file that has them.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[], dict[str, Any]],
        best: KeepBest | None,
        writers: Writers,
        metrics: Path,
    ) -> None:
        self._period, self._evaluate, self._best = period, evaluate, best
        self._writers, self._metrics = writers, metrics

    def before_train(self) -> None:
        """Evaluates what a killed run would have, if nothing is known of that."""
        done = self.trainer.done
        is_due = self._period and done % self._period == 0 and 0 < done < self.trainer.max_iter
        if is_due and not from_main(was_evaluated, self._metrics, done):
            self._run()

    def after_step(self) -> None:
        """Evaluates if it is time; at the end `after_train` does."""
        done = self.trainer.done
        if self._period and done % self._period == 0 and done != self.trainer.max_iter:
            self._run()

    def after_train(self) -> None:
        """Evaluates a training that came to its end, and closes the writers."""
        if not self.trainer.stopped:
            self._run()
        self._writers.close()

    def _run(self) -> None:
        scores = flatten_results_dict(self._evaluate() or {})
        if scores:
            done = self.trainer.done
            self.trainer.storage.put_scalars(**scores, smoothing_hint=False, cur_iter=done)
            if self._best:  # before the scores are written: a killed run evaluates again
                self._best.look(scores)
        self._writers.write()
        patient_barrier()


def was_evaluated(metrics: Path, done: int) -> bool:
    """Returns whether a metrics file has scores after so many iterations."""
    if not metrics.is_file():
        return False
    lines = (json.loads(line) for line in metrics.open(encoding="utf-8"))
    return any(line["iteration"] == done and has_scores(line) for line in lines)
