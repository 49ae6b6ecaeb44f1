import json

import numpy as np
import torch
from PIL import Image

from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset
from kmax_deeplab.data.format.pngs import read_ids


def test_files_and_json_agree(tmp_path):
    places = write_synthetic_dataset(
        tmp_path / "set", 2, (60, 80), torch.Generator().manual_seed(0)
    )
    content = json.loads((tmp_path / "set/panoptic.json").read_text())
    assert places["json"] == str(tmp_path / "set/panoptic.json")
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        ids = read_ids(f"{places['pngs']}/{annotation['file_name']}")
        assert ids.shape == (image["height"], image["width"]) == (60, 80)
        with Image.open(f"{places['images']}/{image['file_name']}") as photo:
            assert photo.size == (80, 60) and photo.format == "JPEG"
        assert image["id"] == annotation["image_id"]
        listed = [segment["id"] for segment in annotation["segments_info"]]
        assert listed == [i for i in np.unique(ids).tolist() if i] and (ids == 0).any()
    assert {category["isthing"] for category in content["categories"]} == {0, 1}


def test_the_same_seed_writes_the_same_files(tmp_path):
    for name in "ab":
        write_synthetic_dataset(tmp_path / name, 1, (40, 40), torch.Generator().manual_seed(3))
    for file in ("images/0.jpg", "pngs/0.png", "panoptic.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
