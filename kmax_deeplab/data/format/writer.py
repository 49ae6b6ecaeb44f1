"""Writes a panoptic dataset: segment maps enter, PNGs, the entries of a JSON and the JSON leave."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.measures import measure_segments
from kmax_deeplab.whole_files import whole_text

JSON, PNGS = "panoptic.json", "panoptic"
"""What lies in the folder."""


@dataclass(frozen=True)
class DrawnSegment:
    """A segment before it has an id: category id of the dataset, and whether it is a crowd."""

    category_id: int
    iscrowd: bool = False


def describe_segments(segment_map: np.ndarray, segments: Sequence[DrawnSegment]) -> list[dict]:
    """Writes the "segments_info" of an image.

    Args:
        segment_map: (H, W) integers, position in `segments` + 1, which becomes the id; 0 where
            unlabelled.
        segments: those without a pixel are left out.
    """
    measures = measure_segments(segment_map)
    return [
        {
            "id": number,
            "category_id": segment.category_id,
            "iscrowd": int(segment.iscrowd),
            "area": measures[number].area,
            "bbox": list(measures[number].bbox),
        }
        for number, segment in enumerate(segments, start=1)
        if number in measures
    ]


def write_panoptic_json(
    path: Path,
    images: Iterable[Mapping],
    annotations: Iterable[Mapping],
    categories: Categories,
) -> None:
    """Writes a JSON entry by entry: however many there are, one is in memory."""
    with whole_text(path) as file:
        for name, entries in (("images", images), ("annotations", annotations)):
            file.write("{" * (name == "images") + f'"{name}": [')
            for number, entry in enumerate(entries):
                file.write(",\n" * (number > 0) + json.dumps(entry))
            file.write("],\n")
        file.write(f'"categories": {json.dumps(categories.to_json())}}}\n')
