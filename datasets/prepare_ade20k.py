"""Prepares ADE20K: semantic, instance and panoptic ground truth of its 150 classes.

What enters: `<root>` with ADEChallengeData2016.zip (SceneParsing) and annotations_instance.tar of
http://sceneparsing.csail.mit.edu, or their folders below `<root>/ADEChallengeData2016`. What
leaves, below that folder:

- `annotations_detectron2/{training,validation}/*.png`: class 0 to 149, 255 where void;
- `ade20k_instance_{train,val}.json`: COCO's instance format, with the things' ids among the 150;
- `ade20k_panoptic_{train,val}.json` and folders of PNGs: COCO's panoptic format.

    python datasets/prepare_ade20k.py --splits val --workers 8

With --zips, images and scene labels are read from ADEChallengeData2016.zip, here and in training.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kmax_deeplab import command
from kmax_deeplab.data.convert.archives import (
    ade20k_archives,
    ade20k_folder,
    is_image,
    map_in_processes,
    read_arguments,
    require,
    unpack_first,
)
from kmax_deeplab.data.format.derived_truth import instance_annotations
from kmax_deeplab.data.format.images import find_files, open_picture
from kmax_deeplab.data.format.pngs import encode_ids
from kmax_deeplab.data.format.published import published_categories
from kmax_deeplab.whole_files import write_json, write_png

SPLITS = {"train": "training", "val": "validation"}
ARCHIVES = {
    "ADEChallengeData2016.zip": ("images", "annotations"),
    "annotations_instance.tar": ("annotations_instance",),
}
"""What each download holds, in folders named like the splits."""

IDS_PER_CLASS = 1000
"""A segment's id is (class + 1) * IDS_PER_CLASS, plus the number of the instance for things."""

CATEGORIES = published_categories("ade20k")
THINGS = tuple(
    i for i, is_thing in zip(CATEGORIES.ids, CATEGORIES.is_thing, strict=True) if is_thing
)
"""Class of the instance categories 1, 2, ..., 100."""


def unpack_archives(root: Path, folder: str, *, zips: bool = False) -> Path:
    """Unpacks a split and returns the dataset's folder.

    Args:
        root: folder of datasets.
        folder: of the split.
        zips: whether what lies in a ZIP stays there.

    Raises:
        FileNotFoundError: images or annotations are in no archive either.
    """
    ade = root / "ADEChallengeData2016"
    for archive, kinds in ARCHIVES.items():
        # The larger archive holds the dataset's folder, the other one lies in it.
        target, prefix = (root, f"{ade.name}/") if archive.startswith(ade.name) else (ade, "")
        members = [f"{prefix}{kind}/{folder}/" for kind in kinds]
        if not (zips and archive.endswith(".zip")):
            unpack_first(ade20k_archives(ade, archive), target, members)
        for kind in kinds:
            remedy = f"download {archive} from http://sceneparsing.csail.mit.edu into {root}"
            require(ade20k_folder(ade, f"{kind}/{folder}"), remedy)
    return ade


def panoptic_ids(scene: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Lays the instances of things over the stuff.

    What the scene's labels call a thing but no instance covers stays unlabelled.

    Args:
        scene: (H, W) uint8, class + 1, 0 where nothing is labelled.
        instances: (H, W, 3) uint8, red the instance category 1 to 100, green the instance's number.

    Returns:
        (H, W) int64 segment ids, 0 where void.
    """
    stuff = [0] + [0 if is_thing else 1 for is_thing in CATEGORIES.is_thing]
    ids = scene.astype(np.int64) * np.array(stuff)[scene] * IDS_PER_CLASS
    category, number = (instances[..., channel].astype(np.int64) for channel in (0, 1))
    is_thing = category > 0
    things = np.array([0, *THINGS])[category]
    ids[is_thing] = ((things + 1) * IDS_PER_CLASS + number)[is_thing]
    return ids


def segments_of(ids: np.ndarray) -> list[dict]:
    """Describes the segments of a map of ids, in ascending order, by COCO's instance fields."""
    listed = [
        {"id": i, "category_id": i // IDS_PER_CLASS - 1} for i in np.unique(ids).tolist() if i > 0
    ]
    annotations = instance_annotations(ids, listed)
    return [{**segment, **entry} for segment, entry in zip(listed, annotations, strict=True)]


def convert_image(stem: str, ade: Path, split: str) -> tuple[dict, list[dict]]:
    """Writes the semantic and the panoptic PNG of an image unless they are there.

    Returns:
        The image's entry in the JSONs and the description of its segments.

    Raises:
        ValueError: the two annotations contradict each other or what the format allows.
    """
    folder = SPLITS[split]
    scene_file = ade20k_folder(ade, f"annotations/{folder}") / f"{stem}.png"
    with open_picture(scene_file) as file:
        scene = np.asarray(file)
    instance_file = ade / "annotations_instance" / folder / f"{stem}.png"
    with open_picture(require(instance_file, "unpack annotations_instance.tar again")) as file:
        instances = np.asarray(file.convert("RGB"))
    if scene.shape != instances.shape[:2] or scene.max() > len(CATEGORIES):
        raise ValueError(f"{scene_file}: not (H, W) of 0 to 150, or unlike {instance_file}")
    if instances[..., 0].max() > len(THINGS):
        raise ValueError(f"{instance_file}: has instance categories above {len(THINGS)}")
    ids = panoptic_ids(scene, instances)
    semantic = ade / "annotations_detectron2" / folder / f"{stem}.png"
    if not is_image(semantic):
        write_png(semantic, scene - np.uint8(1))  # 0 wraps around to 255, void
    panoptic = ade / f"ade20k_panoptic_{split}" / f"{stem}.png"
    if not is_image(panoptic):
        write_png(panoptic, encode_ids(ids))
    height, width = ids.shape
    image = {"id": stem, "file_name": f"{stem}.jpg", "height": height, "width": width}
    return image, segments_of(ids)


def write_jsons(ade: Path, split: str, converted: Sequence[tuple[dict, list[dict]]]) -> None:
    """Writes the panoptic and the instance JSON of a split."""
    images = [image for image, _ in converted]
    annotations = [
        {
            "image_id": image["id"],
            "file_name": f"{image['id']}.png",
            "segments_info": [
                {key: segment[key] for key in segment if key != "segmentation"}
                for segment in segments
            ],
        }
        for image, segments in converted
    ]
    categories = CATEGORIES.to_json()
    things = [category for category in categories if category["isthing"]]
    instances = [
        {**segment, "image_id": image["id"]}
        for image, segments in converted
        for segment in segments
        if segment["category_id"] in THINGS
    ]
    for number, instance in enumerate(instances, start=1):
        instance["id"] = number
    content = {"images": images, "annotations": instances, "categories": things}
    write_json(ade / f"ade20k_instance_{split}.json", content)
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(ade / f"ade20k_panoptic_{split}.json", content)


def is_complete(ade: Path, split: str, stems: Sequence[str], workers: int) -> bool:
    """Says whether both JSONs are of these images and all their PNGs can be read."""
    for kind in ("instance", "panoptic"):
        path = ade / f"ade20k_{kind}_{split}.json"
        if not path.is_file():
            return False
        if [
            image["id"] for image in json.loads(path.read_text(encoding="utf-8"))["images"]
        ] != list(stems):
            return False
    folders = ade / "annotations_detectron2" / SPLITS[split], ade / f"ade20k_panoptic_{split}"
    pngs = [folder / f"{stem}.png" for folder in folders for stem in stems]
    return all(map_in_processes(is_image, pngs, workers, f"PNGs of {split}"))


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    folder, splits = Path(__file__).parent, tuple(SPLITS)
    packed = "images and scene labels"
    return read_arguments(__doc__.splitlines()[0], splits, folder, arguments, packed=packed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares the splits that the command line names."""
    options = parse_args(arguments)
    for split in options.splits:
        ade = unpack_archives(options.root, SPLITS[split], zips=options.zips)
        scenes = ade20k_folder(ade, f"annotations/{SPLITS[split]}")
        stems = sorted(path.stem for path in find_files([scenes], {".png"}))
        images = ade20k_folder(ade, f"images/{SPLITS[split]}")
        for stem in stems:
            require(images / f"{stem}.jpg", "unpack ADEChallengeData2016.zip again")
        if not is_complete(ade, split, stems, options.workers):
            job = partial(convert_image, ade=ade, split=split)
            converted = map_in_processes(job, stems, options.workers, f"ground truth of {split}")
            write_jsons(ade, split, converted)
        print(f"ADE20K {split}: {len(stems)} images are ready in {ade}")


if __name__ == "__main__":
    command.run(main)
