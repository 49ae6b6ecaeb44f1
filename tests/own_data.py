"""A small dataset as people bring it: mixed formats, subfolders, text ids, scattered categories."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.pngs import write_ids

CATEGORIES = [
    {"id": 7, "name": "ground", "isthing": 0, "color": [90, 60, 30]},
    {"id": 300, "name": "cell", "isthing": 1},
    {"id": 12, "name": "vessel", "isthing": 0},
]
SIZE = (48, 72)
"""(height, width) of the images in pixels."""
GROUND, CELL, CROWD = 1, 70_000, 300
"""Segment ids of every image."""
FORMATS = ("png", "webp", "tif", "jpg")


class OwnData:
    """Images of ground with a bright cell and a crowd of others; `content` is the JSON's."""

    def __init__(self, root: Path, count: int = 4) -> None:
        self.root = root
        self.images, self.pngs = str(root / "images"), str(root / "labels")
        self.json = str(root / "panoptic.json")
        images, annotations = [], []
        for number in range(count):
            name = f"part{number % 2}/sub/{number}"
            file_name = f"{name}.{FORMATS[number % len(FORMATS)]}"
            ids, segments = self.labels(number)
            self.write_image(file_name, np.where(ids == GROUND, 80, 200))
            write_ids(Path(self.pngs, f"{name}.png"), ids)
            size = {"height": SIZE[0], "width": SIZE[1]}
            images.append({"id": f"image-{number}", "file_name": file_name, **size})
            entry = {"image_id": f"image-{number}", "file_name": f"{name}.png"}
            annotations.append({**entry, "segments_info": segments})
        categories = [dict(category) for category in CATEGORIES]
        self.content = {"images": images, "annotations": annotations, "categories": categories}
        self.write_json()

    @staticmethod
    def labels(number: int) -> tuple[np.ndarray, list[dict]]:
        """Returns (H, W) segment ids, a corner of them unlabelled, and what they are."""
        ids = np.full(SIZE, GROUND)
        ids[:8, :8] = 0
        top, left = 10 + number % 5, 20
        ids[top : top + 20, left : left + 30] = CELL
        ids[40:, 60:] = CROWD
        segments = [
            segment(GROUND, 7, int((ids == GROUND).sum()), [0, 0, 72, 48]),
            segment(CELL, 300, 600, [left, top, 30, 20]),
            segment(CROWD, 300, 96, [60, 40, 12, 8], iscrowd=1),
        ]
        return ids, segments

    def entry(self, name: str) -> dict[str, str]:
        """Returns the entry of DATASETS.PANOPTIC."""
        return {"name": name, "images": self.images, "json": self.json, "pngs": self.pngs}

    def write_json(self) -> None:
        """Writes `content`."""
        Path(self.json).write_text(json.dumps(self.content))

    def write_image(self, file_name: str, grey: np.ndarray, **options: object) -> Path:
        """Writes a grey (H, W) array as an RGB image; returns its path."""
        path = Path(self.images, file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        Image.fromarray(rgb).save(path, **options)
        return path

    def image_path(self, number: int) -> Path:
        """Returns the path of an image."""
        return Path(self.images, self.content["images"][number]["file_name"])

    def png_path(self, number: int) -> Path:
        """Returns the path of a panoptic PNG."""
        return Path(self.pngs, self.content["annotations"][number]["file_name"])

    def segments(self, number: int) -> list[dict]:
        """Returns the "segments_info" of an image, to be changed."""
        return self.content["annotations"][number]["segments_info"]


def segment(
    segment_id: int, category_id: int, area: int, bbox: list[int], iscrowd: int = 0
) -> dict:
    """Returns an entry of "segments_info"."""
    place = {"area": area, "bbox": bbox}
    return {"id": segment_id, "category_id": category_id, "iscrowd": iscrowd, **place}


def truncate(path: Path) -> Path:
    """Cuts off the second half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path
