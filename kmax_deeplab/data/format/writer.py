"""Writes a panoptic dataset: segment maps of one image after another enter, PNGs and a JSON leave.

Everything appears in a hidden folder beside it, which takes its name at the end: an interrupted
run leaves no half dataset behind.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import leaves_folder
from kmax_deeplab.data.format.measures import count_queries, measure_segments
from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.whole_files import PARTIAL, write_json

JSON, PNGS = "panoptic.json", "panoptic"
"""What lies in the folder."""


@dataclass(frozen=True)
class DrawnSegment:
    """A segment before it has an id: category id of the dataset, and whether it is a crowd."""

    category_id: int
    iscrowd: bool = False


@dataclass(frozen=True)
class DrawnImage:
    """An image with its labels.

    Attributes:
        image_id: of the image, number or text.
        file_name: of the image, below the images' folder.
        png_name: of the PNG to write, below the PNGs' folder.
        segment_map: (H, W) integers, position in `segments` + 1, 0 where unlabelled.
        segments: in the order of their ids; those without a pixel are left out.
    """

    image_id: int | str
    file_name: str
    png_name: str
    segment_map: np.ndarray
    segments: Sequence[DrawnSegment]


@dataclass
class Written:
    """What a dataset came to hold.

    Attributes:
        images: number of images.
        segments: number of segments, crowds among them.
        crowds: number of crowds.
        left_out: segments that have no pixel or that others cover.
        needed: queries that each image needs.
        unused: names of classes without a segment.
    """

    images: int = 0
    segments: int = 0
    crowds: int = 0
    left_out: int = 0
    needed: list[int] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def write_dataset(folder: Path, drawn: Iterable[DrawnImage], categories: Categories) -> Written:
    """Writes `panoptic.json` and `panoptic/` into a new folder.

    Args:
        folder: must not exist, or be empty.
        drawn: the images, in the order of the JSON.
        categories: of the dataset.

    Raises:
        ValueError: the folder holds files, two images would get one PNG, or a PNG's name leads out
            of the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: delete it or choose another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(PARTIAL, f".{folder.name}.", folder.parent))
    try:
        content, written = _write_images(partial / PNGS, drawn, categories)
        write_json(partial / JSON, content)
        if folder.exists():
            folder.rmdir()
        partial.chmod(0o777 & ~_umask())
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _write_images(
    folder: Path, drawn: Iterable[DrawnImage], categories: Categories
) -> tuple[dict, Written]:
    images, annotations, sources, written = [], [], {}, Written()
    for one in drawn:
        if leaves_folder(one.png_name):
            raise ValueError(f"the PNG {one.png_name!r} would lie outside of the folder: rename it")
        if one.png_name in sources:
            other = sources[one.png_name]
            raise ValueError(f"{other} and {one.file_name} both get {one.png_name}: rename one")
        sources[one.png_name] = one.file_name
        write_ids(folder / one.png_name, one.segment_map)
        infos = describe(one)
        height, width = one.segment_map.shape
        size = {"height": height, "width": width}
        images.append({"id": one.image_id, "file_name": one.file_name, **size})
        entry = {"image_id": one.image_id, "file_name": one.png_name}
        annotations.append({**entry, "segments_info": infos})
        _count(written, one, infos, categories)
    used = {s["category_id"] for a in annotations for s in a["segments_info"]}
    listed = zip(categories.ids, categories.names, strict=True)
    written.unused = [name for category_id, name in listed if category_id not in used]
    lists = {"images": images, "annotations": annotations, "categories": categories.to_json()}
    return lists, written


def _count(
    written: Written, drawn: DrawnImage, infos: Sequence[Mapping], categories: Categories
) -> None:
    """Adds an image to what was written."""
    kinds = dict(zip(categories.ids, categories.is_thing, strict=True))
    written.images += 1
    written.segments += len(infos)
    written.crowds += sum(info["iscrowd"] for info in infos)
    written.left_out += len(drawn.segments) - len(infos)
    described = ({**info, "isthing": kinds[info["category_id"]]} for info in infos)
    written.needed.append(count_queries(described))


def _umask() -> int:
    """Returns what the user's new files do not allow; a temporary folder allows nobody else."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def describe(drawn: DrawnImage) -> list[dict]:
    """Writes the "segments_info" of an image; ids are the numbers of its map."""
    measures = measure_segments(drawn.segment_map)
    return [
        {
            "id": number,
            "category_id": segment.category_id,
            "iscrowd": int(segment.iscrowd),
            "area": measures[number].area,
            "bbox": list(measures[number].bbox),
        }
        for number, segment in enumerate(drawn.segments, start=1)
        if number in measures
    ]
