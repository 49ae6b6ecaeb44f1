r"""Submits a training to SLURM, on any number of machines, and has it go on after every time limit.

    python tools/slurm.py --nodes 4 --gpus 8 --hours 24 --slurm partition=gpu account=mine -- \
        --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml OUTPUT_DIR output/r50
    python tools/slurm.py --cluster local --gpus 2 --hours 1 -- --config-file … MODEL.DEVICE cpu

What follows `--` is train_net.py's. Shortly before its time is over, or when SLURM preempts it, the
training saves and ends, and the job is queued again and resumes. Logs lie in OUTPUT_DIR/slurm.
`--cluster local` runs the same on this machine. It needs submitit: pip install submitit.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train_net  # noqa: E402
from kmax_deeplab import command  # noqa: E402
from kmax_deeplab.d2.engine.opening import read_config  # noqa: E402
from kmax_deeplab.d2.engine.stopping import BEGAN  # noqa: E402

SPARE_SECONDS = 300
"""That a training leaves before the time limit of its job, to save and to end."""
MOST_SPARE = 0.1
"""The same as a share of the limit, for short jobs."""


class Training:
    """What a task of the job runs; submitit sends it there.

    Args:
        words: command line of train_net.py.
        seconds: time limit of the job.
    """

    def __init__(self, words: list[str], seconds: float) -> None:
        self.words, self.seconds = words, seconds

    def __call__(self) -> object:
        """Trains, from the newest checkpoint on; queues the job again if the time did not do."""
        import submitit

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        limit = round(self.seconds - min(SPARE_SECONDS, MOST_SPARE * self.seconds))
        end = ["--resume", "CHECKPOINTER.TIME_LIMIT", str(limit)]
        args = train_net.parse_args([*self.words, *end])
        results = train_net.main(args)
        is_over = time.monotonic() - BEGAN > limit  # otherwise somebody ended it: scancel
        is_first = os.environ["RANK"] == "0" and "SLURM_JOB_ID" in os.environ
        if results is None and is_over and is_first:
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
        return results

    def checkpoint(self) -> object:
        """Says how the job is queued again after a preemption: as it was."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    parser.add_argument("--gpus", type=int, default=8, help="processes a machine, one a GPU")
    parser.add_argument("--cpus", type=int, default=8, help="cores a process")
    parser.add_argument("--hours", type=float, default=24, help="time limit of the job")
    parser.add_argument("--cluster", choices=["slurm", "local"], default="slurm")
    parser.add_argument("--slurm", nargs="*", default=[], metavar="KEY=VALUE", help="for sbatch")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- OPTIONS OF train_net.py")
    args = parser.parse_args(arguments)
    args.words = args.words[1:] if args.words[:1] == ["--"] else args.words
    return args


def submit(args: argparse.Namespace) -> object:
    """Submits the job; returns submitit's.

    Raises:
        ValueError: submitit is not installed, the config cannot be, or a word is no KEY=VALUE.
    """
    try:
        import submitit
    except ImportError as error:
        raise ValueError("tools/slurm.py needs a package: pip install submitit") from error
    if unclear := [word for word in args.slurm if "=" not in word]:
        raise ValueError(f"--slurm {' '.join(unclear)}: give KEY=VALUE, e.g. partition=gpu")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # which jobs take over
    training = train_net.parse_args(args.words)
    output = Path(read_config(training.config_file, training.opts).OUTPUT_DIR).absolute()
    executor = submitit.AutoExecutor(output / "slurm", cluster=args.cluster)
    executor.update_parameters(
        name=output.name,
        nodes=args.nodes,
        tasks_per_node=args.gpus,
        cpus_per_task=args.cpus,
        timeout_min=max(round(args.hours * 60), 1),
    )
    if args.cluster == "slurm":
        more = dict(word.split("=", 1) for word in args.slurm)
        executor.update_parameters(slurm_gpus_per_node=args.gpus, slurm_additional_parameters=more)
    words = [*args.words, "OUTPUT_DIR", str(output)]
    return executor.submit(Training(words, args.hours * 3600))


def run(args: argparse.Namespace) -> None:
    """Submits, and says where to look; a local job is waited for.

    Raises:
        RuntimeError: a task of it failed.
    """
    job = submit(args)
    print(f"Job {job.job_id}; its logs: {job.paths.stdout}", flush=True)
    if args.cluster == "local" and job.exception() is not None:
        raise RuntimeError(f"job {job.job_id} failed: see {job.paths.stderr}")


def main(arguments: list[str] | None = None) -> None:
    """Submits a job."""
    logging.basicConfig(level=logging.WARNING)
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
