"""What is predicted already: entries of images enter, `predictions.json` leaves, whoever made them.

The entry of an image is a file of its own, written when everything else of the image is there. So a
process may be killed at any time, another goes on where it was, and several fill one folder. The
one that is done last joins the entries of all.
"""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from kmax_deeplab import run_stamp
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import write_predictions_json
from kmax_deeplab.whole_files import write_json

ENTRIES = ".entries"
REMEDY = "choose another --output, or begin anew with --restart"


class Journal:
    """The images of a folder of predictions.

    Args:
        folder: of the predictions.
        names: of all images, whoever predicts them, in order.
        categories: of the predictions.
        settings: what the predictions depend on; those of others are not mixed with them.

    Attributes:
        entries: of the images that this process has predicted, by name.

    Raises:
        ValueError: the folder holds predictions made otherwise.
    """

    EARLY, PERIOD = 50, 5.0

    def __init__(
        self, folder: Path, names: Sequence[str], categories: Categories, settings: dict[str, str]
    ) -> None:
        run_stamp.claim(folder / ENTRIES, settings, REMEDY)
        self.path, self.categories = folder / "predictions.json", categories
        self.entries: dict[str, dict] = {}
        self._names, self._written = names, 0.0

    def knows(self, name: str, image: Path) -> bool:
        """Returns whether an image was predicted since it last changed."""
        entry = self._entry(name)
        return entry.is_file() and entry.stat().st_mtime_ns >= image.stat().st_mtime_ns

    def add(self, name: str, entry: dict) -> None:
        """Notes an image whose files are written."""
        write_json(self._entry(name), entry)
        self.entries[name] = entry
        if len(self.entries) <= self.EARLY or time.monotonic() - self._written > self.PERIOD:
            self._write(self.entries)

    def join(self) -> int:
        """Writes the JSON of all images that any process has predicted; returns their number."""
        found: dict[str, dict] = {}
        while True:
            there = [name for name in self._names if self._entry(name).is_file()]
            if len(there) == len(found):
                return len(found)
            found = {name: json.loads(self._entry(name).read_text()) for name in there}
            self._write(found)  # others that join meanwhile know as much, or write it once more

    def _write(self, entries: dict[str, dict]) -> None:
        listed = [entries[name] for name in self._names if name in entries]
        write_predictions_json(self.path, listed, self.categories.to_json())
        self._written = time.monotonic()

    def _entry(self, name: str) -> Path:
        return self.path.parent / ENTRIES / f"{name}.json"


def forget(folder: Path) -> None:
    """Forgets what is predicted; the pictures stay until they are replaced."""
    shutil.rmtree(folder / ENTRIES, ignore_errors=True)
