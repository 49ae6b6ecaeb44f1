"""An evaluation that may be killed: evaluators enter, snapshots of what they saw lie in files.

Each process writes snapshots of its own. Whoever evaluates the same model on the same images later,
on any number of processes, adds them up and looks at the images that are left. The main process
alone reads and removes them: others may be on machines that have other files.
"""

import logging
import os
import pickle
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detectron2.utils import comm

from kmax_deeplab.d2.ranks.group import from_main, patient_barrier
from kmax_deeplab.whole_files import is_partial, whole_file, write_text

logger = logging.getLogger(__name__)

FOLDER = ".snapshots"
PERIOD = 30.0
"""Least seconds between two snapshots."""
MOST_SHARE = 0.05
"""Of the time that goes into snapshots, at most."""
State = list[Any]
"""Of all evaluators of a dataset, in their order."""


class Snapshots:
    """Snapshots of one evaluation.

    Args:
        folder: of its results.
        stamp: what it depends on, as text; snapshots of another evaluation are thrown away.
        is_shared: whether processes that know nothing of each other evaluate at the same time.

    Attributes:
        is_shared: as given.
        done: ids of the images that were seen before.
        is_continued: whether files of the evaluation may be there, which have to stay.
    """

    def __init__(self, folder: Path, stamp: str, *, is_shared: bool = False) -> None:
        self._folder = folder / FOLDER
        self._own = self._folder / f"{socket.gethostname()}_{os.getpid()}_{time.time_ns()}.pickle"
        self._written, self._cost = time.monotonic(), 0.0
        from_main(self._claim, stamp)
        self.done = self.find_done()
        self.is_shared, self.is_continued = is_shared, is_shared or bool(self.done)

    def find_done(self) -> set:
        """Returns the ids of the images that were seen, alike in all ranks, once all have saved."""
        patient_barrier()
        return from_main(lambda: self.load()[0])

    def load(self) -> tuple[set, list[State]]:
        """Returns the ids of the images that were seen, and the states that saw each of them once.

        A snapshot may hold what others did, too: those are then left out.
        """
        done, states = set(), []
        for ids, state in sorted(self._read(), key=lambda pair: -len(pair[0])):
            if not ids & done:
                done |= ids
                states.append(state)
        return done, states

    def is_due(self) -> bool:
        """Returns whether it is time for a snapshot."""
        return time.monotonic() - self._written > max(PERIOD, self._cost / MOST_SHARE)

    def save(self, ids: set, state: State) -> None:
        """Writes a snapshot in the place of this process's last one."""
        began = time.monotonic()
        with whole_file(self._own) as partial:
            partial.write_bytes(pickle.dumps((ids, state)))
        self._written = time.monotonic()
        self._cost = self._written - began

    def clear(self) -> None:
        """Forgets the snapshots: the evaluation is complete."""
        if comm.is_main_process():
            shutil.rmtree(self._folder, ignore_errors=True)

    def _claim(self, stamp: str) -> None:
        path = self._folder / "stamp.txt"
        if path.is_file() and path.read_text(encoding="utf-8") == stamp:
            return
        self.clear()
        write_text(path, stamp)

    def _read(self) -> Iterator[tuple[set, State]]:
        for path in sorted(self._folder.glob("*.pickle")):
            if not is_partial(path):
                yield pickle.loads(path.read_bytes())  # our own, of this very evaluation


def left_of(records: Sequence[dict], done: set) -> list[dict]:
    """Returns the records of images that were not seen."""
    return [record for record in records if record["image_id"] not in done]
