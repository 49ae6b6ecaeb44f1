"""A tiny panoptic dataset on disk, and what the package logs."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from kmax_deeplab.d2.data.catalog import register_panoptic

CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0, "color": [0, 0, 255]},
    {"id": 3, "name": "cat", "isthing": 1, "color": [255, 0, 0]},
]
SKY_ID, CAT_ID = 70_000, 300


class TinyDataset:
    """Images of 64 rows and 48 columns: sky, a cat of 32 x 24 pixels and an unlabelled corner."""

    def __init__(self, root, image_ids):
        self.root = root
        self.entry = {
            "name": f"tiny_{root.name}",
            "images": str(root / "images"),
            "json": str(root / "panoptic.json"),
            "pngs": str(root / "pngs"),
        }
        images, annotations = [], []
        for number, image_id in enumerate(image_ids):
            file_name = f"part/{number}"
            self.write_image(f"images/{file_name}.jpg", np.full((64, 48, 3), 60 * number + 40))
            self.write_ids(f"pngs/{file_name}.png", self.ids())
            images.append(
                {"id": image_id, "file_name": f"{file_name}.jpg", "height": 64, "width": 48}
            )
            segments = [{"id": SKY_ID, "category_id": 7}, {"id": CAT_ID, "category_id": 3}]
            annotations.append(
                {
                    "image_id": image_id,
                    "file_name": f"{file_name}.png",
                    "segments_info": [{**segment, "iscrowd": 0} for segment in segments],
                }
            )
        self.content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        self.write_json()

    @staticmethod
    def ids():
        ids = np.full((64, 48), SKY_ID)
        ids[16:48, 12:36] = CAT_ID
        ids[:8, :8] = 0
        return ids

    def write_image(self, name, pixels, **options):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, **options)

    def write_ids(self, name, ids):
        self.write_image(name, np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2))

    def write_json(self):
        (self.root / "panoptic.json").write_text(json.dumps(self.content))

    def truncate(self, number):
        path = self.root / f"images/part/{number}.jpg"
        path.write_bytes(path.read_bytes()[:-60])
        return path


@pytest.fixture
def tiny_dataset(tmp_path_factory):
    """A function that writes a `TinyDataset` with the given image ids."""
    return lambda image_ids=(1, 2): TinyDataset(tmp_path_factory.mktemp("tiny"), image_ids)


@pytest.fixture
def dataset(tiny_dataset):
    """A registered dataset of two images whose PNGs have one basename in two folders."""
    dataset = tiny_dataset((1, 2))
    for number, annotation in enumerate(dataset.content["annotations"]):
        annotation["file_name"] = f"{number}/same.png"
        dataset.write_ids(f"pngs/{number}/same.png", dataset.ids())
    dataset.write_json()
    register_panoptic(**dataset.entry)
    yield dataset
    name = dataset.entry["name"]
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
