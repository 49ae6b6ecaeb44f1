"""What the pages take for granted and only their readers have: images, labels, checkpoints."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from kmax_deeplab.checkpoint.released import to_released
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.data.format.published import published_categories
from kmax_deeplab.predict.video import write_video
from tests.data.convert.round_trip import draw_blobs, write_truth
from tests.data.convert.writers_a import (
    write_bowl,
    write_labelme,
    write_masks,
    write_voc,
    write_yolo,
)
from tests.data.convert.writers_b import write_datumaro_panoptic, write_detection
from tests.data.convert.writers_cvat import write_cvat
from tests.data.convert.writers_label_studio import write_label_studio
from tests.documentation import ROOT
from tests.own_data import OwnData
from tests.scripts import load_script

COCO_R50 = "configs/coco/panoptic_segmentation/kmax_r50.yaml"
PLACES = {"images": "mine/images", "json": "mine/panoptic.json", "pngs": "mine/panoptic"}
MINE = str([{"name": "mine", **PLACES}])
CONVNEXT, LITE = "convnext_tiny.fb_in22k_ft_in1k_384", "tf_efficientnet_lite0"
"""Backbones of timm that the pages begin with."""
EXPORTS = {
    "raw": write_bowl,
    "masks": write_masks,
    "voc": write_voc,
    "yolo": write_yolo,
    "labelme": write_labelme,
    "datumaro": write_datumaro_panoptic,
    "cvat": write_cvat,
    "labelstudio": write_label_studio,
}
"""Folders that the pages convert, and what writes them."""


def furnish(place: Path) -> None:
    """Lays out a folder as the pages take it to be before their first command."""
    shutil.copytree(ROOT / "configs", place / "configs", copy_function=lambda a, b: link(b, a))
    data = OwnData(place / "mine")
    Path(data.pngs).rename(place / "mine" / "panoptic")
    write_labels(place / "mine")
    write_exports(place)
    trial = "_BASE_: configs/custom/kmax_trial_on_cpu.yaml\nDATASETS: {PANOPTIC: %s}\n"
    (place / "mine.yaml").write_text(trial % MINE)
    for name, target in {
        "IMAGES": "mine/images",
        "photos": "mine/images",
        "panoptic.json": "mine/panoptic.json",
        "panoptic": "mine/panoptic",
        "FOLDER/predictions.json": "mine/panoptic.json",  # another model that is always right
        "FOLDER/predictions": "mine/panoptic",
    }.items():
        link(place / name, place / target)
    grey = np.full((30, 40), 90)
    for name in ("photo.jpg", "more/of/them/other.jpg"):
        data.write_image(place / name, grey)
    cells, _ = load_script("datasets/cells_scene.py").draw_cells((100, 120), 9, seed=2)
    Image.fromarray(cells).save(place / "cells.png")
    for _ in write_video(place / "street.mp4", [cells] * 4, 25.0):
        pass
    for split, count in (("train", 2), ("val", 1)):
        draw_nuclei(place / "datasets" / "nuclei" / split, count)


def write_exports(place: Path) -> None:
    """Writes what annotation tools export, of a few small images."""
    pictures = {f"p{i}": draw_blobs(i, (48, 64), 5, stuff=False) for i in range(5)}
    truth = write_truth(place / "truth", pictures)
    for picture in truth.pictures():  # no image is like another one
        grey = np.where(picture.ids > 0, 40 + 30 * int(picture.path.stem[1:]), 9)
        Image.fromarray(grey.astype(np.uint8)).save(picture.path)
    for name, write in EXPORTS.items():
        write(truth, place / name)
    for part in ("train", "valid"):
        write_detection(truth, place)
        link(place / "roboflow" / part, truth.folder / "images")
    (place / "instances.json").rename(truth.folder / "images" / "_annotations.coco.json")


def link(path: str | Path, target: str | Path) -> None:
    """Makes a link, and the folder that it lies in."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).symlink_to(target)


def write_labels(folder: Path) -> None:
    """Draws what docs/own_data.md begins with: PNGs of classes and of instances, and a table."""
    page = (ROOT / "docs" / "own_data.md").read_text()
    (table,) = re.findall(r"^```\n(id\tname.*?)^```", page, re.MULTILINE | re.DOTALL)
    (folder / "classes.tsv").write_text(table)
    for split, count in (("train", 4), ("val", 2)):
        for number in range(count):
            semantic = np.full((48, 64), 4)
            semantic[5:20, 5 + number : 20 + number], semantic[30:36, 10:50] = 20, 21
            semantic = semantic[:, ::-1] if split == "val" else semantic  # no image is in both
            instances = np.where(semantic == 4, 0, semantic)
            grey = np.where(semantic == 4, 200, 6 * semantic)
            for kind, values in (
                ("images", grey),
                ("semantic", semantic),
                ("instances", instances),
            ):
                suffix = "jpg" if kind == "images" else "png"
                path = folder / split / kind / "plate0" / f"well_{number:03d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)
    thing = {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[2, 2, 8, 2, 8, 6, 2, 6]]}
    image = {"id": 1, "file_name": "a.png", "height": 8, "width": 12}
    content = {"images": [image], "annotations": [thing], "categories": [{"id": 3, "name": "bus"}]}
    (folder / "instances.json").write_text(json.dumps(content))


def draw_nuclei(folder: Path, count: int) -> None:
    """Draws a dataset with the classes of the model in the box."""
    draw = load_script("datasets/cells_scene.py").draw_cells
    names = {1: "nucleus", 2: "background"}
    listed = [{"id": i, "name": name, "isthing": i == 1} for i, name in names.items()]
    images, annotations = [], []
    for number in range(count):
        image, nuclei = draw((100, 120), 9, number)
        ids = np.where(nuclei, nuclei, nuclei.max() + 1)
        write_ids(folder / "panoptic" / f"{number}.png", ids)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        segments = [{"id": int(i), "category_id": 1, "iscrowd": 0} for i in np.unique(ids)]
        segments[-1]["category_id"] = 2
        images.append({"id": number, "file_name": f"{number}.png"})
        annotations.append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
        )
    content = {"images": images, "annotations": annotations, "categories": listed}
    (folder / "panoptic.json").write_text(json.dumps(content))


def write_weights(folder: Path, words: Sequence[str]) -> None:
    """Writes what others have trained, of random weights.

    Args:
        folder: where kmax_r50.pth is to lie, and below it the backbones of timm.
        words: that make the released model small.
    """
    model = build(load_config(ROOT / COCO_R50, words), published_categories("coco"))
    state = {to_released(name): value for name, value in model.state_dict().items()}
    torch.save({"model": state}, folder / "kmax_r50.pth")
    small = {"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}
    (folder / "timm").mkdir()
    for name, options in {CONVNEXT: small, LITE: {}}.items():
        state = timm.create_model(name.split(".")[0], **options).state_dict()
        save_file(state, folder / "timm" / f"{name}.safetensors")
