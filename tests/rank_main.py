"""What forked processes of tests do: train_net.py, or with a fault put into it, and others.

What train_net.py or torchrun start is forked, too.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import train_net
from kmax_deeplab import command
from kmax_deeplab.d2.engine import launch
from kmax_deeplab.d2.engine.launch import comm
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.d2.ranks import watch
from tests.scripts import load_script

AT = 2
"""Iteration, counted from 0, in which faults happen."""
predict = load_script("tools/predict.py").main


def become(variables: Mapping[str, str], output: str) -> None:
    """Makes of a forked process what a new one would be."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(variables)
    multiprocessing.set_start_method("fork", force=True)  # of loaders, as outside of tests
    torch.set_num_threads(1)


def main(function: str, words: list[str]) -> None:
    """Runs train_net.py after a function of this module has put a fault into it."""
    launch.start_processes = partial(launch.start_processes, start_method="fork")
    watch.PERIOD = 0.5  # after which the end of others is noticed
    globals()[function]()
    args = train_net.parse_args(words)
    command.run(lambda: launch.launch(train_net.main, args))


def predict_under_torchrun(words: list[str]) -> None:
    """Runs tools/predict.py in two processes that torchrun starts and watches over."""
    place = {"rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "run_id": "test"}
    config = LaunchConfig(1, 1, 2, start_method="fork", **place)
    elastic_launch(config, predict)(words)


def train() -> None:
    """Puts no fault into it."""


def before_step(work: Callable[[Trainer], None]) -> None:
    """Does something before iteration `AT`."""
    step = Trainer.run_step

    def run_step(trainer: Trainer) -> None:
        if trainer.iter == AT:
            work(trainer)
        step(trainer)

    Trainer.run_step = run_step


def nan_in_rank_1() -> None:
    """Makes a loss of rank 1 NaN, once."""

    def spoil(trainer: Trainer) -> None:
        model = getattr(trainer.model, "module", trainer.model)
        criterion = model.criterion

        def spoiled(*arguments: object, **settings: object) -> dict:
            model.criterion = criterion
            losses = criterion(*arguments, **settings)
            return {n: v * float("nan") if n == "loss_mask" else v for n, v in losses.items()}

        if comm.get_rank() == 1:
            model.criterion = spoiled

    before_step(spoil)


def killed_rank_1() -> None:
    """Kills rank 1."""
    before_step(lambda _: comm.get_rank() == 1 and os.kill(os.getpid(), signal.SIGKILL))


def killed_rank_0() -> None:
    """Kills rank 0, which has the store of all."""
    before_step(lambda _: comm.get_rank() == 0 and os.kill(os.getpid(), signal.SIGKILL))


def once_killed_rank_1() -> None:
    """Kills rank 1 in the first attempt."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        killed_rank_1()


def frozen_rank_1() -> None:
    """Stops rank 1 without ending it."""
    before_step(lambda _: comm.get_rank() == 1 and os.kill(os.getpid(), signal.SIGSTOP))


def hanging_rank_1() -> None:
    """Lets rank 1 wait for what does not come, alive."""
    before_step(lambda _: comm.get_rank() == 1 and time.sleep(600))


def raising_evaluation_of_rank_1() -> None:
    """Lets rank 1 refuse in the evaluation."""
    test = Trainer.test.__func__

    def raising(cls: type, *arguments: object, **settings: object) -> dict:
        if comm.get_rank() == 1:
            raise_refusal()
        return test(cls, *arguments, **settings)

    Trainer.test = classmethod(raising)


def raise_refusal() -> None:
    """Raises as the package does."""
    from kmax_deeplab.data.samples.reading import read_image

    read_image("gone.jpg")


def slow_evaluation() -> None:
    """Lets the main process take longer for an evaluation than DIST.TIMEOUT."""
    from kmax_deeplab.d2.evaluation.panoptic import PanopticEvaluator

    evaluate = PanopticEvaluator.evaluate

    def slow(self: PanopticEvaluator) -> dict:
        results = evaluate(self)
        if comm.is_main_process():
            time.sleep(5)
        return results

    PanopticEvaluator.evaluate = slow


def told_to_stop() -> None:
    """Has rank 1 alone get SIGTERM."""
    before_step(lambda _: comm.get_rank() == 1 and os.kill(os.getpid(), signal.SIGTERM))


def stopped_in_evaluation() -> None:
    """Has the main process get SIGTERM while it evaluates."""
    from kmax_deeplab.d2.evaluation.panoptic import PanopticEvaluator

    process = PanopticEvaluator.process

    def interrupted(self: PanopticEvaluator, *arguments: object) -> None:
        if comm.is_main_process():
            os.kill(os.getpid(), signal.SIGTERM)
        process(self, *arguments)

    PanopticEvaluator.process = interrupted


def files_of_the_main_process_alone() -> None:
    """Lets the other ranks read no weights."""
    from kmax_deeplab.checkpoint import checkpointer
    from kmax_deeplab.d2.engine import opening

    def refuse(*_: object) -> None:
        raise AssertionError("this rank reads weights")

    if os.environ["RANK"] != "0":
        checkpointer.read_checkpoint = opening.read_identity = refuse


def snapshots_of_the_main_process_alone() -> None:
    """Lets the other ranks read and remove no snapshots."""
    from kmax_deeplab.d2.evaluation import snapshots

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this rank has no snapshots of others")

    if os.environ["RANK"] != "0":
        snapshots.Snapshots.load = snapshots.shutil.rmtree = refuse


def killed_in_evaluation() -> None:
    """Kills the process after its fifth image, with a snapshot after each."""
    from kmax_deeplab.d2.evaluation import snapshots
    from kmax_deeplab.d2.evaluation.panoptic import PanopticEvaluator

    snapshots.PERIOD, snapshots.MOST_SHARE = 0, 1e9
    process, seen = PanopticEvaluator.process, []

    def mortal(self: PanopticEvaluator, inputs: list, outputs: list) -> None:
        seen.extend(inputs)
        if len(seen) > 5:
            os.kill(os.getpid(), signal.SIGKILL)
        process(self, inputs, outputs)

    PanopticEvaluator.process = mortal


if __name__ == "__main__":
    become({}, sys.argv[1])
    main(sys.argv[2], sys.argv[3:])
