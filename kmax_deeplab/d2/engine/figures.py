"""The figures of a training: Detectron2's storage enters, what is new in it leaves, once.

An evaluation after an iteration has the number of the next one: what is new is told by name.
"""

import json
import os
from pathlib import Path

from detectron2.utils.events import EventWriter, get_event_storage

WINDOW = 20
"""Iterations between two writings of figures, and over which losses are smoothed (median)."""


class News:
    """Figures of the storage at hand, each once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self) -> dict[int, dict[str, float]]:
        """Returns {iteration: {name: value}} of what is new, ascending."""
        found: dict[int, dict[str, float]] = {}
        for name, (value, step) in get_event_storage().latest_with_smoothing_hint(WINDOW).items():
            if step > self._seen.get(name, -1):
                self._seen[name] = step
                found.setdefault(step, {})[name] = value
        return dict(sorted(found.items()))


class MetricsFile(EventWriter):
    """Appends a JSON object of new figures per iteration to a file, as Detectron2 writes it.

    Args:
        path: of metrics.json.
    """

    def __init__(self, path: Path) -> None:
        self._file, self._news = path.open("a", encoding="utf-8"), News()

    def write(self) -> None:
        """Writes what is new, down to the disk."""
        for step, figures in self._news.take().items():
            self._file.write(json.dumps({**figures, "iteration": step}, sort_keys=True) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends."""
        self._file.close()
