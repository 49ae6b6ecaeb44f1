"""From a command line to the processes of a run.

In: Detectron2's options and ours. Out: the function that runs in every process, and an exit status.
"""

import argparse
import logging
import time
from collections.abc import Callable
from functools import partial

from detectron2.engine import default_argument_parser
from detectron2.engine import launch as launch_processes
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

from kmax_deeplab import command

__all__ = ["build_parser", "comm", "launch"]

PATIENCE = 5.0
"""Seconds that other processes leave to the main one to say what it refuses."""


def build_parser() -> argparse.ArgumentParser:
    """Returns Detectron2's options and `--restart`."""
    parser = default_argument_parser()
    parser.add_argument(
        "--restart", action="store_true", help="set the run in OUTPUT_DIR aside and begin anew"
    )
    return parser


def launch(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> int:
    """Runs a function in every process that the options ask for; returns the exit status.

    A refusal is said once, by the main process.
    """
    if args.num_gpus * args.num_machines == 1:
        main(args)
        return 0
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    processes = {name: getattr(args, name) for name in ("num_machines", "machine_rank", "dist_url")}
    try:
        launch_processes(partial(_run, main), args.num_gpus, **processes, args=(args,))
    except ProcessExitedException as error:
        return error.exit_code or 1
    return 0


def _run(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    try:
        main(args)
    except Exception as error:
        if not command.is_refusal(error):
            raise
        if not comm.is_main_process():
            time.sleep(PATIENCE)
        raise SystemExit(command.describe(error)) from error
