"""The lists of a folder of predictions: what is known of each image enters, files leave, whole.

They are written image by image: a million of them need not be held as one text.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.predict.image_ids import ImageId
from kmax_deeplab.predict.origin import Note
from kmax_deeplab.whole_files import whole_text

COLUMNS = (
    *("image", "image_id", "segment", "category_id", "class", "isthing", "score", "area"),
    *("left", "top", "width", "height"),
)
"""Of `segments.csv`; lengths in pixels."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that is predicted.

    Attributes:
        segments: "segments_info" as JSON, which takes a tenth of the memory.
        size: (height, width) in pixels, if that is known.
        is_crowded: whether there may be more segments than were found.
    """

    segments: str
    size: tuple[int, ...] = ()
    is_crowded: bool = False

    @classmethod
    def of(cls, note: Note) -> "Entry":
        """Returns what the lists need of a note."""
        return cls(json.dumps(note.segments), tuple(note.size), note.is_crowded)


@dataclass(frozen=True)
class Listing:
    """The images of a folder, in the order of their names.

    Attributes:
        entries: by the names of images.
        files: file name of an image by its name, if it is known.
        ids: the dataset's own, of those images that it lists.
        categories: of the segments.
    """

    entries: Mapping[str, Entry]
    files: Mapping[str, str]
    ids: Mapping[str, ImageId]
    categories: Categories

    def write_json(self, path: Path) -> None:
        """Writes the JSON of COCO's panoptic format."""
        with whole_text(path) as file:
            file.write('{"images": [')
            _write_list(file, map(json.dumps, self._images()))
            file.write('], "annotations": [')
            _write_list(file, self._annotations())
            file.write(f'], "categories": {json.dumps(self.categories.to_json())}}}')

    def write_csv(self, path: Path) -> None:
        """Writes a table with a row for each segment."""
        with whole_text(path, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for name in sorted(self.entries):
                writer.writerows(self._rows(name))

    def write_instances(self, path: Path, read: Callable[[str], list[dict] | None]) -> None:
        """Writes COCO's list of results: scored masks of things.

        Args:
            path: of the JSON.
            read: returns what was found in an image, without "image_id"; None: it is not known.
        """
        with whole_text(path) as file:
            file.write("[")
            _write_list(
                file,
                (
                    json.dumps({"image_id": self.ids.get(name, name), **found})
                    for name in sorted(self.entries)
                    for found in read(name) or ()
                ),
            )
            file.write("]")

    def _images(self) -> Iterator[dict]:
        for name in sorted(self.entries):
            sizes = dict(zip(("height", "width"), self.entries[name].size, strict=False))
            file_name = {"file_name": self.files[name]} if name in self.files else {}
            yield {"id": self.ids.get(name, name), **file_name, **sizes}

    def _annotations(self) -> Iterator[str]:
        for name in sorted(self.entries):
            head = {"image_id": self.ids.get(name, name), "file_name": f"{name}.png"}
            segments = self.entries[name].segments
            yield f'{json.dumps(head)[:-1]}, "segments_info": {segments}}}'

    def _rows(self, name: str) -> Iterator[list]:
        known, contiguous = self.categories, self.categories.contiguous
        for segment in json.loads(self.entries[name].segments):
            index = contiguous[segment["category_id"]]
            described = [segment["category_id"], known.names[index], int(known.is_thing[index])]
            measured = [segment.get("score", ""), segment.get("area", "")]
            box = segment.get("bbox", [""] * 4)
            image_id = self.ids.get(name, name)
            yield [name, image_id, segment["id"], *described, *measured, *box]


def _write_list(file: TextIO, entries: Iterable[str]) -> None:
    for number, entry in enumerate(entries):
        file.write(f", {entry}" if number else entry)
