"""Panoptic datasets that are written out in other formats, converted back and compared."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.pngs import read_ids, write_ids
from kmax_deeplab.data.format.writer import DrawnSegment, describe_segments
from kmax_deeplab.whole_files import write_json, write_png

THINGS, STUFF = ("cell", "rod"), ("ground",)
"""Classes of generated images."""


@dataclass(frozen=True)
class LabelledPicture:
    """An image of a dataset: its file, its (H, W) segment ids, and the class of each segment."""

    path: Path
    ids: np.ndarray
    classes: Mapping[int, str]


@dataclass(frozen=True)
class Truth:
    """A panoptic dataset on disk: `images/`, `panoptic/` and panoptic.json below its folder."""

    folder: Path

    @cached_property
    def content(self) -> dict:
        return json.loads((self.folder / "panoptic.json").read_text())

    def names(self, is_thing: int) -> list[str]:
        """Returns the names of the things, or of the stuff."""
        return [c["name"] for c in self.content["categories"] if c["isthing"] == is_thing]

    def pictures(self) -> Iterator[LabelledPicture]:
        content = self.content
        names = {category["id"]: category["name"] for category in content["categories"]}
        files = {image["id"]: image["file_name"] for image in content["images"]}
        for annotation in content["annotations"]:
            ids = read_ids(self.folder / "panoptic" / annotation["file_name"])
            path = self.folder / "images" / files[annotation["image_id"]]
            infos = annotation["segments_info"]
            yield LabelledPicture(path, ids, {s["id"]: names[s["category_id"]] for s in infos})


def write_truth(folder: Path, pictures: Mapping[str, tuple[np.ndarray, Sequence[str]]]) -> Truth:
    """Writes a panoptic dataset.

    Args:
        folder: new.
        pictures: by name, (H, W) numbers of segments from 1, 0 where unlabelled, and the class of
            each segment.
    """
    names = (*THINGS, *STUFF)
    rows = [{"id": i, "name": n, "isthing": int(n in THINGS)} for i, n in enumerate(names, 1)]
    content = {"images": [], "annotations": [], "categories": rows}
    for name, (ids, classes) in pictures.items():
        size = {"height": ids.shape[0], "width": ids.shape[1]}
        content["images"].append({"id": name, "file_name": f"{name}.png", **size})
        segments = [DrawnSegment(names.index(one) + 1) for one in classes]
        infos = describe_segments(ids, segments)
        annotation = {"image_id": name, "file_name": f"{name}.png", "segments_info": infos}
        content["annotations"].append(annotation)
        write_ids(folder / "panoptic" / f"{name}.png", ids)
        write_png(folder / "images" / f"{name}.png", np.zeros((*ids.shape, 3), np.uint8))
    write_json(folder / "panoptic.json", content)
    return Truth(folder)


def draw_blobs(seed: int, size: tuple[int, int], count: int, *, stuff: bool = True) -> tuple:
    """Draws things with holes and several parts, side by side, on stuff or on nothing.

    Returns:
        (H, W) numbers of segments, and their classes, as `write_truth` takes them.
    """
    rng = np.random.default_rng(seed)
    ids = np.full(size, int(stuff))
    classes = ["ground"] * stuff
    rows, columns = np.indices(size)
    for number in range(1 + stuff, count + 1 + stuff):
        row, column = rng.integers(0, size[0]), rng.integers(0, size[1])
        distance = np.hypot(rows - row, columns - column) + rng.normal(0, 1.2, size)
        ids[(distance < rng.uniform(4, 9)) & (distance > rng.choice([0, 2]))] = number
        classes.append(THINGS[number % 2])
    return ids, classes


def differences(truth: Truth, converted: Path) -> list[str]:
    """Returns what differs in a converted dataset, image by image; numbers of segments may."""
    found = {picture.path.stem: picture for picture in Truth(converted).pictures()}
    faults = []
    for picture in truth.pictures():
        other = found.pop(picture.path.stem, None)
        if other is None:
            faults.append(f"{picture.path.stem}: missing")
        elif not is_same(picture, other):
            faults.append(f"{picture.path.stem}: other segments")
    return faults + [f"{name}: added" for name in found]


def is_same(one: LabelledPicture, other: LabelledPicture) -> bool:
    """Says whether two images have the same segments, of the same classes."""
    if one.ids.shape != other.ids.shape:
        return False
    keys = np.unique(one.ids.astype(np.int64) * 2**24 + other.ids)
    pairs = [divmod(key, 2**24) for key in keys.tolist()]
    singles = (len(np.unique(one.ids)), len(np.unique(other.ids)))
    alike = all(one.classes.get(left) == other.classes.get(right) for left, right in pairs)
    return alike and singles == (len(pairs), len(pairs))


def copy_picture(picture: LabelledPicture, path: Path) -> None:
    """Copies an image file to a path without suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + picture.path.suffix).write_bytes(picture.path.read_bytes())


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Saves a mask of 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path, compress_level=1)
