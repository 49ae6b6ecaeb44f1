"""Prepares COCO 2017: unpacks what was downloaded and derives semantic PNGs of all 133 classes.

What enters: `<root>/coco` with the downloads of https://cocodataset.org/#download, as archives or
unpacked: panoptic_annotations_trainval2017.zip (with further archives inside),
annotations_trainval2017.zip, train2017.zip, val2017.zip. What leaves: the folders that Detectron2
expects and `panoptic_semseg_{train,val}2017/*.png`: class 0 to 132 in the order of the category
ids, 255 where void.

    python datasets/prepare_coco.py --splits val --workers 8
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kmax_deeplab import command
from kmax_deeplab.data.convert.archives import (
    is_image,
    map_in_processes,
    read_arguments,
    require,
    unpack_first,
)
from kmax_deeplab.data.format.derived_truth import semantic_map
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.whole_files import write_png

SPLITS = ("train", "val")
VOID = 255
PANOPTIC_ARCHIVE = "panoptic_annotations_trainval2017.zip"
INSTANCE_ARCHIVE = "annotations_trainval2017.zip"


def unpack_archives(coco: Path, split: str) -> dict:
    """Unpacks what is not there yet; archives may lie in `coco` or in its `annotations`.

    Returns:
        The panoptic JSON of the split.

    Raises:
        FileNotFoundError: a file of the dataset is neither there nor in an archive.
    """
    name = f"{split}2017"
    remedy = "download {} from https://cocodataset.org/#download into " + str(coco)
    panoptic = coco / "annotations" / f"panoptic_{name}.json"
    if not panoptic.is_file():
        unpack_first(_places(coco, PANOPTIC_ARCHIVE), coco, [f"annotations/panoptic_{name}.json"])
    content = json.loads(
        require(panoptic, remedy.format(PANOPTIC_ARCHIVE)).read_text(encoding="utf-8")
    )
    pngs = [coco / f"panoptic_{name}" / entry["file_name"] for entry in content["annotations"]]
    if not _all_there(pngs):
        inner = f"panoptic_{name}.zip"
        if not unpack_first(_places(coco, inner), coco, [f"panoptic_{name}/"]):
            unpack_first(_places(coco, PANOPTIC_ARCHIVE), coco, [f"annotations/{inner}"])
            unpack_first(_places(coco, inner), coco, [f"panoptic_{name}/"])
    images = [coco / name / entry["file_name"] for entry in content["images"]]
    if not _all_there(images):
        unpack_first(_places(coco, f"{name}.zip"), coco, [f"{name}/"])
    instances = coco / "annotations" / f"instances_{name}.json"
    if not instances.is_file():
        unpack_first(_places(coco, INSTANCE_ARCHIVE), coco, [f"annotations/instances_{name}.json"])
    _require_all(pngs, remedy.format(PANOPTIC_ARCHIVE))
    _require_all(images, remedy.format(f"{name}.zip"))
    require(instances, remedy.format(INSTANCE_ARCHIVE) + " (the official AP compares with it)")
    return content


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
    return read_arguments(__doc__.splitlines()[0], SPLITS, Path(__file__).parent, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares the splits that the command line names."""
    options = parse_args(arguments)
    coco = require(options.root / "coco", "create it and put COCO's archives there")
    for split in options.splits:
        content = unpack_archives(coco, split)
        ids = [category["id"] for category in content["categories"]]
        job = partial(
            write_semantic,
            pngs=coco / f"panoptic_{split}2017",
            semantics=coco / f"panoptic_semseg_{split}2017",
            classes={category_id: index for index, category_id in enumerate(ids)},
        )
        map_in_processes(job, content["annotations"], options.workers, f"semantic PNGs of {split}")
        print(f"COCO {split}: {len(content['annotations'])} images are ready in {coco}")


def _places(coco: Path, archive: str) -> tuple[Path, Path]:
    return coco / archive, coco / "annotations" / archive


def _all_there(paths: Sequence[Path]) -> bool:
    return all(path.is_file() for path in paths)


def _require_all(paths: Sequence[Path], remedy: str) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        require(missing[0], f"neither do {len(missing) - 1} more of {len(paths)} files: {remedy}")


if __name__ == "__main__":
    command.run(main)
