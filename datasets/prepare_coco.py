"""Prepares COCO 2017: unpacks what was downloaded and derives semantic PNGs of all 133 classes.

What enters: `<root>/coco` with the downloads of https://cocodataset.org/#download, as archives or
unpacked: panoptic_annotations_trainval2017.zip (with further archives inside),
annotations_trainval2017.zip, train2017.zip, val2017.zip. What leaves: the folders that Detectron2
expects and `panoptic_semseg_{train,val}2017/*.png`: class 0 to 132 in the order of the category
ids, 255 where void.

    python datasets/prepare_coco.py --splits val --workers 8

With --zips, images and panoptic PNGs stay in their archives, where training and evaluation read
them; the archive of PNGs is taken out of the one that it lies in.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kmax_deeplab import command
from kmax_deeplab.data.convert.archives import (
    coco_archives,
    coco_folder,
    is_image,
    map_in_processes,
    read_arguments,
    require,
    unpack_first,
)
from kmax_deeplab.data.format.derived_truth import semantic_map
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.data.format.zips import is_file
from kmax_deeplab.whole_files import write_png

SPLITS = ("train", "val")
VOID = 255
PANOPTIC_ARCHIVE = "panoptic_annotations_trainval2017.zip"
INSTANCE_ARCHIVE = "annotations_trainval2017.zip"
REMEDY = "download {} from https://cocodataset.org/#download into {}"


def unpack_archives(coco: Path, split: str, *, zips: bool = False) -> tuple[dict, Path]:
    """Unpacks what is not there yet; archives may lie in `coco` or in its `annotations`.

    Args:
        coco: folder of the dataset.
        split: of SPLITS.
        zips: whether images and PNGs stay in their archives.

    Returns:
        The panoptic JSON of the split, and where its PNGs lie.

    Raises:
        FileNotFoundError: a file of the dataset is neither there nor in an archive.
    """
    name = f"{split}2017"
    panoptic = coco / "annotations" / f"panoptic_{name}.json"
    if not panoptic.is_file():
        archives = coco_archives(coco, PANOPTIC_ARCHIVE)
        unpack_first(archives, coco, [f"annotations/panoptic_{name}.json"])
    require(panoptic, REMEDY.format(PANOPTIC_ARCHIVE, coco))
    content = json.loads(panoptic.read_text(encoding="utf-8"))
    pngs = [entry["file_name"] for entry in content["annotations"]]
    place = provide(coco, f"panoptic_{name}", pngs, PANOPTIC_ARCHIVE, zips=zips)
    images = [entry["file_name"] for entry in content["images"]]
    provide(coco, name, images, f"{name}.zip", zips=zips)
    instances = coco / "annotations" / f"instances_{name}.json"
    if not instances.is_file():
        archives = coco_archives(coco, INSTANCE_ARCHIVE)
        unpack_first(archives, coco, [f"annotations/instances_{name}.json"])
    remedy = REMEDY.format(INSTANCE_ARCHIVE, coco)
    require(instances, f"{remedy} (the official AP compares with it)")
    return content, place


def provide(coco: Path, name: str, files: Sequence[str], download: str, *, zips: bool) -> Path:
    """Returns where the files of a folder lie; unpacks them if they are not there yet.

    Args:
        coco: folder of the dataset.
        name: of the folder, and of its archive.
        files: that it must hold.
        download: that archive, or the one that it lies in.
        zips: whether they stay in their archive.

    Raises:
        FileNotFoundError: a file is neither there nor in an archive.
    """
    archives = coco_archives(coco, f"{name}.zip")
    packed = next((archive for archive in archives if archive.is_file()), None)
    if not packed and not _all_there(coco / name, files):
        unpack_first(coco_archives(coco, download), coco, [f"annotations/{name}.zip"])
    if not zips and not _all_there(coco / name, files):
        unpack_first(archives, coco, [f"{name}/"])
    place = coco_folder(coco, name)
    missing = [place / file for file in files if not is_file(place / file)]
    if missing:
        remedy = REMEDY.format(download, coco)
        if zips and packed and place == coco / name:
            remedy = f"remove {place} to have them read from {packed}, or leave out --zips"
        others = f"neither do {len(missing) - 1} more of {len(files)} files"
        require(missing[0], f"{others}: {remedy}")
    return place


def write_semantic(
    annotation: Mapping, pngs: Path, semantics: Path, classes: Mapping[int, int]
) -> None:
    """Writes the semantic PNG of one image unless it is there and can be read."""
    target = semantics / annotation["file_name"]
    if is_image(target):
        return
    ids = read_ids(pngs / annotation["file_name"])
    classes = semantic_map(ids, annotation["segments_info"], classes, VOID)
    write_png(target, classes.astype(np.uint8))


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    folder = Path(__file__).parent
    packed = "images and panoptic PNGs"
    return read_arguments(__doc__.splitlines()[0], SPLITS, folder, arguments, packed=packed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares the splits that the command line names."""
    options = parse_args(arguments)
    coco = require(options.root / "coco", "create it and put COCO's archives there")
    for split in options.splits:
        content, pngs = unpack_archives(coco, split, zips=options.zips)
        ids = [category["id"] for category in content["categories"]]
        job = partial(
            write_semantic,
            pngs=pngs,
            semantics=coco / f"panoptic_semseg_{split}2017",
            classes={category_id: index for index, category_id in enumerate(ids)},
        )
        map_in_processes(job, content["annotations"], options.workers, f"semantic PNGs of {split}")
        print(f"COCO {split}: {len(content['annotations'])} images are ready in {coco}")


def _all_there(folder: Path, files: Sequence[str]) -> bool:
    return all(is_file(folder / file) for file in files)


if __name__ == "__main__":
    command.run(main)
