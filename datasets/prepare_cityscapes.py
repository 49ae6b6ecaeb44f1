"""Prepares Cityscapes with the official cityscapesScripts: training ids and panoptic PNGs.

What enters: `<root>/cityscapes` with gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip of
https://www.cityscapes-dataset.com, or with their folders gtFine/ and leftImg8bit/. What leaves:
`gtFine/<split>/<city>/*_gtFine_labelTrainIds.png` (createTrainIdLabelImgs) and
`gtFine/cityscapes_panoptic_<split>.json` with its folder of PNGs (createPanopticImgs).

    python datasets/prepare_cityscapes.py --splits val --workers 8
"""

import argparse
import contextlib
import io
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from cityscapesscripts.preparation.json2labelImg import json2labelImg

from kmax_deeplab import command
from kmax_deeplab.data.convert.archives import (
    is_image,
    map_in_processes,
    read_arguments,
    require,
    unpack_first,
)
from kmax_deeplab.whole_files import whole_file

SPLITS = ("train", "val")
ARCHIVES = {"gtFine": "gtFine_trainvaltest.zip", "leftImg8bit": "leftImg8bit_trainvaltest.zip"}


def unpack_archives(cityscapes: Path, split: str) -> None:
    """Unpacks the annotations and images of a split if they are not there yet.

    Raises:
        FileNotFoundError: they are in no archive either.
    """
    for folder, archive in ARCHIVES.items():
        target = cityscapes / folder / split
        # An interrupted unpacking leaves a folder behind: what is there in full stays anyway.
        unpack_first([cityscapes / archive], cityscapes, [f"{folder}/{split}/"])
        require(target, f"download {archive} from www.cityscapes-dataset.com into {cityscapes}")


def write_train_ids(polygons: Path) -> None:
    """Draws the labels of one image as training ids, unless that was done."""
    target = polygons.with_name(polygons.name.replace("_polygons.json", "_labelTrainIds.png"))
    if not is_image(target):
        with whole_file(target) as part:
            json2labelImg(str(polygons), str(part), "trainIds")


def convert_city(city: str, truth: Path, split: str, parts: Path) -> dict:
    """Converts a city into `parts/<city>/`, unless that was done, and returns its panoptic JSON."""
    folder = parts / city
    output = folder / f"cityscapes_panoptic_{split}.json"
    if not output.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        source = folder / "source" / split
        (source / city).mkdir(parents=True)
        for png in (truth / split / city).glob("*_gtFine_instanceIds.png"):
            shutil.copy(png, source / city)
        with contextlib.redirect_stdout(io.StringIO()):
            convert2panoptic(str(source.parent), str(folder), setNames=[split])
    return json.loads(output.read_text(encoding="utf-8"))


def write_panoptic(truth: Path, split: str, workers: int) -> int:
    """Converts the cities of a split side by side and joins them; returns the number of images."""
    target = truth / f"cityscapes_panoptic_{split}.json"
    cities = sorted(path.name for path in (truth / split).iterdir() if path.is_dir())
    if not _is_complete(target, truth / split, workers):
        parts = truth / f".cityscapes_panoptic_{split}.partial"
        job = partial(convert_city, truth=truth, split=split, parts=parts)
        contents = map_in_processes(job, cities, workers, f"panoptic PNGs of {split}")
        target.with_suffix("").mkdir(exist_ok=True)
        for png in parts.glob(f"*/cityscapes_panoptic_{split}/*.png"):
            shutil.copy(png, target.with_suffix(""))
        joined = {
            "images": [entry for content in contents for entry in content["images"]],
            "annotations": [entry for content in contents for entry in content["annotations"]],
            "categories": contents[0]["categories"],
        }
        with whole_file(target) as part:
            part.write_text(json.dumps(joined, sort_keys=True, indent=4), encoding="utf-8")
        shutil.rmtree(parts)
    return len(json.loads(target.read_text(encoding="utf-8"))["annotations"])


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    return read_arguments(__doc__.splitlines()[0], SPLITS, Path(__file__).parent, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares the splits that the command line names."""
    options = parse_args(arguments)
    cityscapes = require(options.root / "cityscapes", "create it and put the archives there")
    for split in options.splits:
        unpack_archives(cityscapes, split)
        truth = cityscapes / "gtFine"
        polygons = sorted((truth / split).glob("*/*_polygons.json"))
        if not polygons:
            raise FileNotFoundError(f"{truth / split}/*/*_polygons.json: no annotation is there")
        map_in_processes(write_train_ids, polygons, options.workers, f"labels of {split}")
        count = write_panoptic(truth, split, options.workers)
        print(f"Cityscapes {split}: {count} images are ready in {cityscapes}")


def _is_complete(target: Path, annotated: Path, workers: int) -> bool:
    """Says whether a panoptic JSON lists every annotated image and all its PNGs can be read."""
    if not target.is_file():
        return False
    entries = json.loads(target.read_text(encoding="utf-8"))["annotations"]
    suffix = "_gtFine_instanceIds.png"
    expected = {path.name.removesuffix(suffix) for path in annotated.glob(f"*/*{suffix}")}
    if {entry["image_id"] for entry in entries} != expected:
        return False
    pngs = [target.with_suffix("") / entry["file_name"] for entry in entries]
    return all(map_in_processes(is_image, pngs, workers, f"PNGs of {annotated.name}"))


if __name__ == "__main__":
    command.run(main)
