"""The folder of predictions: segments of images enter, PNGs and `predictions.json` leave.

Any number of processes write into it and may end at any time. Each PNG carries its entry of
`predictions.json`, and what it was made from. It appears when it is whole, after all else that is
written of its image, so that an image is predicted or it is not, and nothing else has to be kept in
step. Lists of all images are gathered from the PNGs, by one process at a time: the last one that
ends finds those of all.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from kmax_deeplab import file_lock
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import find_files
from kmax_deeplab.data.format.pngs import DamagedPngError, png_folder, read_note, write_ids
from kmax_deeplab.data.format.zips import stored_in
from kmax_deeplab.predict.image_ids import ImageId
from kmax_deeplab.predict.listing import Entry, Listing
from kmax_deeplab.predict.origin import Note, Origin, image_of
from kmax_deeplab.predict.outputs import CSV, INSTANCES, OVERLAY, choose
from kmax_deeplab.whole_files import remove_leftovers

JSON, TABLE, INSTANCES_JSON = "predictions.json", "segments.csv", "coco_instances_results.json"
LOCK = ".predictions.lock"
"""What lies in the folder beside the PNGs."""
UNSAID = "that do not say what they were made with"


class ForeignResultsError(ValueError):
    """A folder holds predictions of another origin; the message says what to do."""


class Results:
    """The predictions in a folder, of one origin.

    Args:
        output: the folder; may be missing.
        named: all images that are to be predicted, whoever does it.
        origin: see `origin_of`.
        categories: of the predictions.
        kinds: what is written besides the panoptic PNGs and their JSON, see `outputs.KINDS`.
        ids: the dataset's own, by the names of images; others are named in the lists.
        mine: names of the images that this process predicts; default: all.

    Raises:
        ForeignResultsError: the folder holds predictions of another origin.

    Attributes:
        json: path of `predictions.json`.
        entries: of the images that this process knows to be predicted.
        outputs: what is written of each image besides its panoptic PNG, by kind.
    """

    EARLY, PERIOD, SELDOM = 50, 5.0, 20.0
    """Entries that are listed one by one; later, least seconds between two lists, and least
    multiple of the time that a list takes."""

    def __init__(
        self,
        output: Path,
        named: Mapping[str, Path],
        origin: Origin,
        categories: Categories,
        *,
        kinds: Sequence[str] = (OVERLAY,),
        ids: Mapping[str, ImageId] | None = None,
        mine: Collection[str] | None = None,
    ) -> None:
        self.output, self.named, self.origin, self.categories = output, named, origin, categories
        self.kinds, self.outputs, self.ids = kinds, choose(kinds), ids or {}
        self.json, self.pngs = output / JSON, png_folder(output / JSON)
        others = () if mine is None else named.keys() - set(mine)
        self.entries: dict[str, Entry] = self._find(without=others)
        self._due = 0.0

    def begin(self, mine: Mapping[str, Path]) -> dict[str, Path]:
        """Prepares the folder; returns what of a process's images is to be predicted.

        Those whose file is another one since leave `predictions.json` before their PNGs change.
        """
        remove_leftovers(self.output.glob("*"))
        for folder in (self.pngs, *(self.output / out.folder for out in self.outputs.values())):
            remove_leftovers(folder.rglob("*"))
        ahead = {name: path for name, path in mine.items() if not self._is_done(name)}
        if self.json.exists() and any(self._png(name).exists() for name in ahead):
            self.gather()
        return ahead

    def add(
        self,
        name: str,
        image: list[int],
        ids: np.ndarray,
        segments: list[dict],
        *,
        is_crowded: bool = False,
    ) -> None:
        """Writes the PNG of an image, of which all else is there already.

        Args:
            name: of the image.
            image: its file (see `image_of`) from before it was read.
            ids: (H, W) segment ids, 0 where void.
            segments: its "segments_info", with the dataset's category ids.
            is_crowded: whether there may be more than were found.
        """
        note = Note(self.origin, image, segments, list(ids.shape), is_crowded)
        write_ids(self._png(name), ids, note.to_text())
        self.entries[name] = Entry.of(note)

    def keep_up(self) -> None:
        """Lists in `predictions.json` what this process knows: at first always, later now and then.

        For a process that is alone; what others did meanwhile is listed when they end.
        """
        start = time.monotonic()
        if len(self.entries) <= self.EARLY or start > self._due:
            self._listing().write_json(self.json)
            took = time.monotonic() - start
            self._due = start + took + max(self.PERIOD, self.SELDOM * took)

    def gather(self) -> None:
        """Writes the lists of what there is, whoever predicted it."""
        with file_lock.hold(self.output / LOCK):
            self.entries = self._find()
            listing = self._listing()
            listing.write_json(self.json)
            if CSV in self.kinds:
                listing.write_csv(self.output / TABLE)
            if INSTANCES in self.kinds:
                listing.write_instances(self.output / INSTANCES_JSON, self._read_instances)

    def summary(self) -> str:
        """Says what there is, and how many of the named images lack a prediction."""
        count, lacking = len(self.entries), len(self.named.keys() - self.entries.keys())
        rest = f" ({lacking} of those named are not there, or not yet)" if lacking else ""
        folders = [str(self.output / out.folder) for out in self.outputs.values()]
        more = f"; also {', '.join(folders)}" if folders else ""
        return f"{self.json}: {count} images{rest}{more}"

    def _listing(self) -> Listing:
        known = dict(self.entries)  # others add to it meanwhile
        files = {name: f"{name}{self.named[name].suffix}" for name in known if name in self.named}
        return Listing(known, files, self.ids, self.categories)

    def _read_instances(self, name: str) -> list[dict] | None:
        path = self.outputs[INSTANCES].path(self.output, name)
        return read_json(path) if path.is_file() else None

    def _find(self, without: Collection[str] = ()) -> dict[str, Entry]:
        """Reads the notes of PNGs; those of images that are others since are left out."""
        entries, found = {}, False
        for path in find_files([self.pngs], {".png"}):
            found = True
            name = path.relative_to(self.pngs).as_posix().removesuffix(".png")
            note = None if name in without else self._read(path)
            if note and self._is_current(name, note.image):
                entries[name] = Entry.of(note)
        if not found and self.json.exists() and _lists_any(self.json):
            self._refuse(f"predictions {UNSAID} ({JSON})")
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
        return path is None or not stored_in(path).exists() or image_of(path) == image

    def _is_done(self, name: str) -> bool:
        if name not in self.entries:
            return False
        return all(out.path(self.output, name).exists() for out in self.outputs.values())

    def _png(self, name: str) -> Path:
        return self.pngs / f"{name}.png"


def _lists_any(path: Path) -> bool:
    content = read_json(path)
    return not isinstance(content, dict) or bool(content.get("annotations"))
