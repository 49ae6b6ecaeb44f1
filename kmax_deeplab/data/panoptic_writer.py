"""Writes a panoptic dataset: segment maps of one image after another enter, PNGs and a JSON leave.

Everything appears in `<folder>.partial`, which takes its name at the end: an interrupted run leaves
no half dataset behind.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmax_deeplab.data.categories import Categories
from kmax_deeplab.data.image_check import measure_segments
from kmax_deeplab.data.panoptic_format import write_ids

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


def write_dataset(folder: Path, drawn: Iterable[DrawnImage], categories: Categories) -> int:
    """Writes `panoptic.json` and `panoptic/` into a new folder.

    Args:
        folder: must not exist, or be empty.
        drawn: the images, in the order of the JSON.
        categories: of the dataset.

    Returns:
        Segments that were left out because they have no pixel or others cover them.

    Raises:
        ValueError: the folder holds files, or two images would get one PNG.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: delete it or choose another --output")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    images, annotations, covered, written = [], [], 0, {}
    for one in drawn:
        if (other := written.setdefault(one.png_name, one.file_name)) != one.file_name:
            raise ValueError(f"{other} and {one.file_name} both get {one.png_name}: rename one")
        write_ids(partial / PNGS / one.png_name, one.segment_map)
        infos = describe(one)
        covered += len(one.segments) - len(infos)
        height, width = one.segment_map.shape
        size = {"height": height, "width": width}
        images.append({"id": one.image_id, "file_name": one.file_name, **size})
        entry = {"image_id": one.image_id, "file_name": one.png_name}
        annotations.append({**entry, "segments_info": infos})
    lists = {"images": images, "annotations": annotations, "categories": categories.to_json()}
    (partial / JSON).write_text(json.dumps(lists))
    if folder.exists():
        folder.rmdir()
    partial.replace(folder)
    return covered


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
