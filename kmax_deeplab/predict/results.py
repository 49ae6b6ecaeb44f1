"""The folder of predictions: segments of images enter, PNGs and `predictions.json` leave.

Any number of processes write into it and may end at any time. Each PNG carries its entry of
`predictions.json`, and what it was made from. It appears when it is whole, so that an image is
predicted or it is not, and nothing else has to be kept in step. `predictions.json` is gathered from
the PNGs, by one process at a time: the last one that ends finds those of all.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kmax_deeplab import file_lock
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import find_files
from kmax_deeplab.data.format.pngs import (
    DamagedPngError,
    png_folder,
    read_note,
    write_ids,
    write_predictions_json,
)
from kmax_deeplab.predict.origin import Note, Origin, image_of
from kmax_deeplab.whole_files import remove_leftovers

JSON, OVERLAYS, LOCK = "predictions.json", "overlays", ".predictions.lock"
"""What lies in the folder beside the PNGs."""
UNSAID = "that do not say what they were made with"
Entries = dict[str, dict]
"""Entries of `predictions.json` by the names of their images."""


class ForeignResultsError(ValueError):
    """A folder holds predictions of another origin; the message says what to do."""


class Results:
    """The predictions in a folder, of one origin.

    Args:
        output: the folder; may be missing.
        named: all images that are to be predicted, whoever does it.
        origin: see `origin_of`.
        categories: of the predictions.

    Raises:
        ForeignResultsError: the folder holds predictions of another origin.

    Attributes:
        json: path of `predictions.json`.
        entries: of the images that this process knows to be predicted.
    """

    EARLY, PERIOD, SELDOM = 50, 5.0, 20.0
    """Entries that are listed one by one; later, least seconds between two lists, and least
    multiple of the time that a list takes."""

    def __init__(
        self, output: Path, named: Mapping[str, Path], origin: Origin, categories: Categories
    ) -> None:
        self.output, self.named, self.origin, self.categories = output, named, origin, categories
        self.json, self.pngs = output / JSON, png_folder(output / JSON)
        self.entries: Entries = self._find()
        self._due = 0.0

    def begin(self, mine: Mapping[str, Path]) -> dict[str, Path]:
        """Prepares the folder; returns what of a process's images is to be predicted.

        Those whose file is another one since leave `predictions.json` before their PNGs change.
        """
        remove_leftovers(self.output.glob("*"))
        for folder in (self.pngs, self.output / OVERLAYS):
            remove_leftovers(folder.rglob("*"))
        ahead = {name: path for name, path in mine.items() if not self._is_done(name)}
        if self.json.exists() and any(self._png(name).exists() for name in ahead):
            self.gather()
        return ahead

    def add(self, name: str, image: list[int], ids: np.ndarray, segments: list[dict]) -> None:
        """Writes the PNG of an image, whose overlay is there already.

        Args:
            name: of the image.
            image: its file (see `image_of`) from before it was read.
            ids: (H, W) segment ids, 0 where void.
            segments: "id" and "category_id" of each, the latter an index of a class.
        """
        ids_of = self.categories.ids
        listed = [{"id": s["id"], "category_id": ids_of[s["category_id"]]} for s in segments]
        write_ids(self._png(name), ids, Note(self.origin, image, listed).to_text())
        self.entries[name] = _entry(name, listed)

    def keep_up(self) -> None:
        """Lists in `predictions.json` what this process knows: at first always, later now and then.

        For a process that is alone; what others did meanwhile is listed when they end.
        """
        start = time.monotonic()
        if len(self.entries) <= self.EARLY or start > self._due:
            self._write(self.entries)
            took = time.monotonic() - start
            self._due = start + took + max(self.PERIOD, self.SELDOM * took)

    def gather(self) -> None:
        """Lists in `predictions.json` what there is, whoever predicted it."""
        with file_lock.hold(self.output / LOCK):
            self.entries = self._find()
            self._write(self.entries)

    def summary(self) -> str:
        """Says what there is, and how many of the named images lack a prediction."""
        count, lacking = len(self.entries), len(self.named.keys() - self.entries.keys())
        rest = f" ({lacking} of those named are not there, or not yet)" if lacking else ""
        return f"{self.json}: {count} images{rest}; pictures in {self.output / OVERLAYS}"

    def _write(self, entries: Entries) -> None:
        ordered = [entries[name] for name in sorted(entries)]
        write_predictions_json(self.json, ordered, self.categories.to_json())

    def _find(self) -> Entries:
        """Reads the notes of all PNGs; those of images that are others since are left out."""
        entries, paths = {}, list(find_files([self.pngs], {".png"}))
        if not paths and self.json.exists() and _lists_any(self.json):
            self._refuse(f"predictions {UNSAID} ({JSON})")
        for path in paths:
            name = path.relative_to(self.pngs).as_posix().removesuffix(".png")
            note = self._read(path)
            if note and self._is_current(name, note.image):
                entries[name] = _entry(name, note.segments)
        return entries

    def _read(self, path: Path) -> Note | None:
        """Reads a note; None if the PNG is damaged."""
        try:
            text = read_note(path)
        except DamagedPngError:
            return None
        if text is None:
            self._refuse(f"predictions {UNSAID} ({path.name})")
        note = Note.from_text(text)
        if others := note.others(self.origin):
            self._refuse(f"predictions of other {' and '.join(others)}")
        return note

    def _refuse(self, what: str) -> None:
        raise ForeignResultsError(
            f"{self.output} holds {what}: choose another --output, or remove that folder"
        )

    def _is_current(self, name: str, image: list[int]) -> bool:
        path = self.named.get(name)
        return path is None or not path.exists() or image_of(path) == image

    def _is_done(self, name: str) -> bool:
        return name in self.entries and (self.output / OVERLAYS / f"{name}.png").is_file()

    def _png(self, name: str) -> Path:
        return self.pngs / f"{name}.png"


def _entry(name: str, segments: list[dict]) -> dict:
    return {"image_id": name, "file_name": f"{name}.png", "segments_info": segments}


def _lists_any(path: Path) -> bool:
    content = read_json(path)
    return not isinstance(content, dict) or bool(content.get("annotations"))
