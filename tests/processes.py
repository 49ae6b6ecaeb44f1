"""Runs in processes of their own: ranks of train_net.py, and command lines under any launcher.

They are forked from a server that has imported everything, which takes a new process ten seconds.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch.multiprocessing import start_processes

ROOT = Path(__file__).parents[1]
SCRIPT = str(ROOT / "train_net.py")
LAUNCHERS = ("SLURM_", "RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "DIST_URL", "TORCHELASTIC_")
CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)},
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]

server = get_context("forkserver")
server.set_forkserver_preload(["tests.rank_main"])


def fork(
    function: str, *arguments: object, output: Path, variables: Mapping[str, str] = {}
) -> BaseProcess:
    """Starts a process that calls a function of `tests.rank_main`.

    Args:
        function: its name.
        arguments: of it.
        output: file that what it writes is added to.
        variables: of its environment, beside those of this process.
    """
    process = server.Process(target=_call, args=(function, arguments, dict(variables), str(output)))
    process.start()
    return process


def _call(function: str, arguments: tuple, variables: Mapping[str, str], output: str) -> None:
    from tests import rank_main  # which who forks need not import

    rank_main.become(variables, output)
    getattr(rank_main, function)(*arguments)


class Ranks:
    """Processes that run a function of `tests.rank_main` together.

    Args:
        count: of them.
        function: name of the function.
        arguments: words of its command line.
        folder: of their outputs.
        slurm: whether they find each other as tasks of SLURM do.
    """

    def __init__(
        self,
        count: int,
        function: str,
        arguments: list[str],
        folder: Path,
        *,
        slurm: bool = False,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        place = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
        if slurm:
            place = {"SLURM_NTASKS": count, "SLURM_TASKS_PER_NODE": count, "MASTER_PORT": port}
        names = ("SLURM_PROCID", "SLURM_LOCALID") if slurm else ("RANK", "LOCAL_RANK")
        self.outputs = [folder / f"rank_{rank}.txt" for rank in range(count)]
        self.processes: list[BaseProcess] = []
        for rank, output in enumerate(self.outputs):
            own = {**place, "MASTER_ADDR": "127.0.0.1", **dict.fromkeys(names, rank)}
            variables = {name: str(value) for name, value in own.items()} if count > 1 else {}
            words = ("main", function, arguments)
            self.processes.append(fork(*words, output=output, variables=variables))

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        """Sends a signal to a rank."""
        os.kill(self.processes[rank].pid, number)

    def finish(self, seconds: float = 90) -> list[int]:
        """Waits for all ranks and returns their exit statuses, negative ones of signals."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(end - time.monotonic(), 0))
        late = [p for p in self.processes if p.is_alive()]
        for process in late:
            process.kill()
        assert not late, f"{len(late)} ranks did not end:\n{self.said()}"
        return [process.exitcode for process in self.processes]

    def succeed(self) -> None:
        """Waits for all ranks, which must end well."""
        assert self.finish() == [0] * len(self.processes), self.said()

    def said(self) -> str:
        """Returns what all ranks wrote."""
        return "\n".join(path.read_text() for path in self.outputs if path.exists())


def together(function: Callable[..., None], *arguments: object) -> None:
    """Calls a function of a rank, 0 or 1, in two forked processes, which must end well."""
    start_processes(_on_one_thread, (function, *arguments), nprocs=2, start_method="forkserver")


def _on_one_thread(rank: int, function: Callable[..., None], *arguments: object) -> None:
    torch.set_num_threads(1)
    function(rank, *arguments)


def start(
    words: list[str], *, launcher: list[str] | None = None, variables: Mapping[str, str] = {}
) -> subprocess.Popen:
    """Starts train_net.py, alone or under a launcher; its output can be read as text."""
    return subprocess.Popen(
        [*(launcher or [sys.executable]), SCRIPT, *words],
        env={**CLEAN, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, seconds: float = 120) -> str:
    """Waits for a process and returns what it wrote; leaves none of its children behind."""
    try:
        return process.communicate(timeout=seconds)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: Callable[[], object], seconds: float = 90) -> object:
    """Waits until a condition holds and returns its value."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value
