"""Ranks watch over each other: what ends one ends all, with its number in the message.

Each rank has a thread that says in the store of the process group that its rank is alive, and looks
whether another failed. Nothing here waits in a collective operation, which a silent rank would
block.
"""

import logging
import math
import os
import socket
import sys
import threading
import time
from datetime import timedelta

from torch import distributed

logger = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two signs of life."""
PATIENCE = 4
"""Periods without a sign after which a rank whose connections broke is taken to be gone."""
FAILED = "failed"
ENDED = " ended the run: "


class Watch:
    """This rank's watch.

    Args:
        store: of all ranks, for the watch alone.
        rank: of this process.
        world_size: number of ranks.
        timeout: seconds of silence after which a rank ends the run.

    Attributes:
        doing: what this rank is doing, for messages.
        is_over: whether this rank has ended the run.
    """

    def __init__(
        self,
        store: distributed.Store,
        rank: int,
        world_size: int,
        *,
        timeout: float,
    ):
        self._store, self._rank, self._world_size = store, rank, world_size
        self._timeout = timeout
        self._period = min(PERIOD, timeout / 5)
        self._seen: dict[int, tuple[str, float]] = {}
        self._barriers = 0
        self._over, self._lock = threading.Event(), threading.Lock()
        self.doing, self.is_over = "starting", False
        self._beat(0)
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self._thread.start()

    def barrier(self) -> None:
        """Waits for all ranks, as long as they live."""
        self._barriers += 1
        self._add(f"barrier {self._barriers}", 1)
        self._wait_for(f"barrier {self._barriers}", self._world_size)

    def fail(self, message: str, *, status: int = 1) -> bool:
        """Ends the run of all ranks; returns whether this rank is the one that did.

        Args:
            message: why.
            status: with which the others exit.
        """
        own = f"{self._rank}\n{status}\n{message}"
        self.is_over = True
        with self._lock:
            said = self._store.compare_set(FAILED, "", own).decode()
        return said.split("\n")[0] == str(self._rank)

    def explain(self) -> str:
        """Says which rank is to blame where a joint operation failed; waits until it is clear.

        Returns:
            Empty if another rank has said why.
        """
        for _ in range(2 * PATIENCE):
            time.sleep(self._period)
            if self._read(FAILED):
                return ""
            now = time.monotonic()
            for rank in range(self._world_size):
                self._look_at(rank)
                if now - self._seen[rank][1] > PATIENCE * self._period:
                    return f"{self._name(rank)} is gone"
        does = [f"{self._name(r)}: {self._describe(r)}" for r in range(self._world_size)]
        return (
            f"a joint operation of all ranks failed, or took longer than DIST.TIMEOUT, "
            f"{self._timeout:g} s. What they do: {'; '.join(does)}"
        )

    def wait_for_the_end(self) -> None:
        """Waits until the watch has ended this process, or a few periods."""
        self._thread.join(2 * PATIENCE * self._period)

    def linger(self) -> None:
        """Leaves the others the time to read why the run ends: the store goes with rank 0."""
        time.sleep(3 * self._period if self._rank == 0 else 0)

    def stop(self) -> None:
        """Ends the watch; rank 0, which has the store, leaves last, or after the time-out."""
        self._over.set()
        self._thread.join()
        if self.is_over:
            return
        if self._rank == 0:
            self._wait_for("left", self._world_size - 1, self._timeout)
        else:
            self._add("left", 1)

    def _run(self) -> None:
        beat = 0
        while not (self._over.wait(self._period) or self.is_over):
            beat += 1
            try:
                self._beat(beat)
                message, status = self._find_end()
            except RuntimeError:  # the store lies with rank 0
                message, status = "rank 0 is gone, and with it the store of the run", 1
            if message and not self._over.is_set():
                self.is_over = True
                self._say(message)
                self.linger()
                _exit(status)

    def _say(self, message: str) -> None:
        """Says why the run ends, unless this is known: rank 0 speaks for all, as long as it is."""
        if self._rank == 0:
            logger.error("The run ends: %s", message)
        elif ENDED not in message:  # otherwise said by who did
            sys.stderr.write(f"{message}\n")

    def _beat(self, number: int) -> None:
        with self._lock:
            self._store.set(f"beat {self._rank}", f"{number}\n{socket.gethostname()}\n{self.doing}")

    def _find_end(self) -> tuple[str, int]:
        """Returns why the run must end, and with which status; empty if it need not."""
        if failed := self._read(FAILED):
            rank, status, message = failed.split("\n", 2)
            is_own = int(rank) == self._rank
            return "" if is_own else f"rank {rank}{ENDED}{message}", int(status)
        now = time.monotonic()
        for rank in range(self._world_size) if self._rank == 0 else [0]:
            self._look_at(rank)
            if now - self._seen[rank][1] > self._timeout:
                message = f"{self._name(rank)} has not answered for {self._timeout:g} s"
                message += f" (DIST.TIMEOUT); it was {self._describe(rank)}"
                self.fail(message)
                return message, 1
        return "", 0

    def _look_at(self, rank: int) -> None:
        """Notes when a rank gave its last sign of life, by the clock of this one."""
        beat = self._read(f"beat {rank}")
        if rank not in self._seen or self._seen[rank][0] != beat:
            self._seen[rank] = beat, time.monotonic()

    def _name(self, rank: int) -> str:
        host = self._seen[rank][0].split("\n")[1:2]
        return f"rank {rank} of {self._world_size}" + (f" on {host[0]}" if host else "")

    def _describe(self, rank: int) -> str:
        return self._seen[rank][0].split("\n", 2)[-1] or "not there yet"

    def _add(self, key: str, number: int) -> int:
        with self._lock:
            return self._store.add(key, number)

    def _wait_for(self, key: str, count: int, most: float = math.inf) -> None:
        pause, end = self._period / 1000, time.monotonic() + most
        while self._add(key, 0) < count and time.monotonic() < end:
            time.sleep(pause)
            pause = min(2 * pause, self._period / 5)

    def _read(self, key: str) -> str:
        with self._lock:
            return self._store.get(key).decode() if self._store.check([key]) else ""


def open_store(name: str, timeout: float) -> distributed.Store:
    """Opens a connection of its own to the store that the process group was built with.

    Args:
        name: of this run of the processes; keys of others are not seen.
        timeout: seconds that an answer may take.
    """
    store = distributed.distributed_c10d._get_default_store()  # nothing public returns it
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    if isinstance(store, distributed.TCPStore):
        settings = {"is_master": False, "timeout": timedelta(seconds=timeout)}
        store = distributed.TCPStore(store.host, store.port, **settings)
    return distributed.PrefixStore(f"watch {name}", store)


def _exit(status: int) -> None:
    """Ends this process even where its main thread waits for a rank that will not come."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)
