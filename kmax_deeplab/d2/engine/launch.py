"""From a command line to the processes of a run.

In: Detectron2's options and ours. Out: the function that runs in every process, and an exit status.
torchrun, SLURM and others start the processes themselves; otherwise `--num-gpus` says how many are
started here.
"""

import argparse
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from torch.multiprocessing import ProcessContext, ProcessExitedException, start_processes

from kmax_deeplab import command
from kmax_deeplab.d2.ranks.places import find_place

__all__ = ["build_parser", "comm", "launch", "parse"]

PASSED_ON = (signal.SIGTERM, signal.SIGINT, *filter(None, [getattr(signal, "SIGUSR1", None)]))
"""Signals that stop a run: the processes save and end, and so does who started them."""
LOOPBACK = "127.0.0.1"


def build_parser() -> argparse.ArgumentParser:
    """Returns Detectron2's options and ours."""
    parser = default_argument_parser()
    parser.add_argument(
        "--restart", action="store_true", help="set the run in OUTPUT_DIR aside and begin anew"
    )
    parser.add_argument(
        "--fast-dev-run",
        action="store_true",
        help="train, save and evaluate for a moment, in OUTPUT_DIR/fast_dev_run",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check config and data, print size, memory and schedule of the run, and end",
    )
    return parser


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Reads a command line on which options may stand behind KEY VALUE pairs, too."""
    known = {name: a.nargs for a in parser._actions for name in a.option_strings}
    options, pairs = [], []
    left = list(words)
    while left:
        word = left.pop(0)
        name = word.partition("=")[0]
        if not name.startswith("-") or name not in known:
            pairs.append(word)
            continue
        options.append(word)
        if known[name] != 0 and "=" not in word and left:
            options.append(left.pop(0))
    return parser.parse_args([*options, *pairs])


def launch(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> int:
    """Runs a function in every process of a run; returns the exit status.

    A refusal is said once, by the process that met it first.
    """
    if find_place(os.environ) is not None or args.num_gpus * args.num_machines <= 1:
        main_or_exit(main, args)
        return 0
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.CRITICAL)
    count = args.num_gpus
    context = start_processes(_start, (main, args, _meeting_point(args)), count, join=False)
    return _wait(context, args.machine_rank * count)


def main_or_exit(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    """Runs a function; what it refuses is said once, with the number of this process.

    Raises:
        SystemExit: so.
    """
    place = find_place(os.environ)
    try:
        main(args)
    except Exception as error:
        if place is None or place.rank == 0 or not command.is_refusal(error):
            raise
        if place.local_rank and not hasattr(error, "rank"):  # met before the ranks did, by all
            raise SystemExit(1) from error
        raise SystemExit(f"rank {place.rank}: {command.describe(error)}") from error


def _meeting_point(args: argparse.Namespace) -> dict[str, str]:
    """Returns the variables that say where the processes meet, and how many they are.

    Raises:
        ValueError: several machines need an address.
    """
    url = args.dist_url
    if args.num_machines == 1 and not url.startswith("file://"):
        with socket.socket() as free:
            free.bind((LOOPBACK, 0))
            url = f"tcp://{LOOPBACK}:{free.getsockname()[1]}"
    elif not url.startswith(("tcp://", "file://")) or url.startswith(f"tcp://{LOOPBACK}"):
        raise ValueError(
            f"--dist-url {url} with --num-machines {args.num_machines}: name the first machine, "
            "tcp://HOST:PORT"
        )
    size = args.num_gpus * args.num_machines
    return {"DIST_URL": url, "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(args.num_gpus)}


def _start(
    local_rank: int,
    main: Callable[[argparse.Namespace], object],
    args: argparse.Namespace,
    variables: Mapping[str, str],
) -> None:
    rank = args.machine_rank * args.num_gpus + local_rank
    os.environ.update(variables, RANK=str(rank), LOCAL_RANK=str(local_rank))
    command.run(lambda: main_or_exit(main, args))


def _wait(context: ProcessContext, first_rank: int) -> int:
    """Waits for the started processes, and passes on what should stop them."""

    def pass_on(number: int, _: FrameType | None) -> None:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        while not context.join():
            pass
    except ProcessExitedException as error:
        if error.signal_name:
            raise RuntimeError(
                f"rank {first_rank + error.error_index} was killed by {error.signal_name}; the "
                "others were ended. Go on with --resume"
            ) from error
        return error.exit_code or 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
