"""Prepares Cityscapes with the official cityscapesScripts: panoptic PNGs and training ids.

What enters: `<root>/cityscapes` with gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip of
https://www.cityscapes-dataset.com, or with their folders gtFine/ and leftImg8bit/, of which are
needed

- `*_leftImg8bit.png` and `*_gtFine_instanceIds.png` for training, PQ and the official AP;
- `*_gtFine_labelIds.png` for the official IoU;
- `*_gtFine_polygons.json` for training ids where there are no label ids, and for nothing else.

What leaves: `gtFine/cityscapes_panoptic_<split>.json` with its folder of PNGs (createPanopticImgs),
and for other tools `gtFine/<split>/<city>/*_gtFine_labelTrainIds.png`. Files that hold train ids in
the place of ids are refused: they would make another dataset.

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
from kmax_deeplab.data.convert.cityscapes_ids import (
    REMEDY,
    read_ids,
    require_any_id,
    require_ids,
    to_train_ids,
)
from kmax_deeplab.whole_files import whole_file, write_png, write_text

SPLITS = ("train", "val")
ARCHIVES = {"gtFine": "gtFine_trainvaltest.zip", "leftImg8bit": "leftImg8bit_trainvaltest.zip"}
PHOTO, INSTANCES, LABELS, POLYGONS, TRAIN_IDS, PANOPTIC = (
    *("_leftImg8bit.png", "_gtFine_instanceIds.png", "_gtFine_labelIds.png"),
    *("_gtFine_polygons.json", "_gtFine_labelTrainIds.png", "_gtFine_panoptic.png"),
)
"""What files of an image are called, after its name."""


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


def find_annotations(cityscapes: Path, split: str) -> list[Path]:
    """Returns the instance ids of a split, in order.

    Raises:
        FileNotFoundError: there are none, or one lacks its image, or an image that is annotated
            otherwise lacks them.
    """
    truth, photos = (cityscapes / folder / split for folder in ARCHIVES)
    files = [file for file in truth.glob("*/*_gtFine_*") if not file.name.startswith(".")]
    annotated = sorted({file.with_name(file.name.split("_gtFine_")[0]) for file in files})
    if not annotated:
        raise FileNotFoundError(f"{truth}/*/*{INSTANCES}: no annotation is there; {REMEDY}")
    found = [stem.with_name(stem.name + INSTANCES) for stem in annotated]
    for instances in found:
        other = _beside(instances, "_gtFine_instanceTrainIds.png")
        but = f", and {other.name} holds train ids" if other.is_file() else ""
        require(instances, f"the dataset is made of instance ids{but}: {REMEDY}")
        photo = photos / instances.parent.name / instances.name.replace(INSTANCES, PHOTO)
        require(photo, f"{instances.name} annotates it: unpack {ARCHIVES['leftImg8bit']} again")
    return found


def convert_image(instances: Path, parts: Path, split: str) -> dict:
    """Writes `parts/<image>_gtFine_panoptic.png`, unless that was done; returns its JSON."""
    folder = parts / instances.name.removesuffix(INSTANCES)
    png, content = parts / f"{folder.name}{PANOPTIC}", parts / f"{folder.name}.json"
    if not (content.is_file() and is_image(png)):
        require_ids(instances, _beside(instances, LABELS))
        shutil.rmtree(folder, ignore_errors=True)
        source = folder / split / instances.parent.name
        source.mkdir(parents=True)
        shutil.copy(instances, source)
        with contextlib.redirect_stdout(io.StringIO()):
            convert2panoptic(str(folder), str(folder), setNames=[split])
        (folder / f"cityscapes_panoptic_{split}" / png.name).replace(png)
        (folder / f"cityscapes_panoptic_{split}.json").replace(content)
        shutil.rmtree(folder)
    return json.loads(content.read_text(encoding="utf-8"))


def write_panoptic(annotations: Sequence[Path], split: str, workers: int) -> None:
    """Converts the images of a split and joins them, unless that was done.

    Raises:
        ValueError: the files hold other numbers than ids.
    """
    truth = annotations[0].parent.parent
    target = truth.with_name(f"cityscapes_panoptic_{split}.json")
    if _is_complete(target, annotations, workers):
        return
    parts = target.with_name(f".{target.stem}.partial")
    job = partial(convert_image, parts=parts, split=split)
    try:
        contents = map_in_processes(job, annotations, workers, f"panoptic PNGs of {split}")
        segments = (s for c in contents for a in c["annotations"] for s in a["segments_info"])
        require_any_id(segments, truth)
    except ValueError:  # files that looked right so far may be of the same kind
        shutil.rmtree(parts, ignore_errors=True)
        raise
    joined = {
        "images": [entry for content in contents for entry in content["images"]],
        "annotations": [entry for content in contents for entry in content["annotations"]],
        "categories": contents[0]["categories"],
    }
    target.with_suffix("").mkdir(exist_ok=True)
    for png in parts.glob(f"*{PANOPTIC}"):
        png.replace(target.with_suffix("") / png.name)
    write_text(target, json.dumps(joined, sort_keys=True, indent=4))
    shutil.rmtree(parts)


def write_train_ids(instances: Path) -> bool:
    """Writes the training ids of an image unless they are there; returns if it has label ids."""
    target, labels, polygons = (_beside(instances, kind) for kind in (TRAIN_IDS, LABELS, POLYGONS))
    if not is_image(target):
        if labels.is_file():
            write_png(target, to_train_ids(read_ids(labels)))
        elif polygons.is_file():
            with whole_file(target) as part:
                json2labelImg(str(polygons), str(part), "trainIds")
    return labels.is_file()


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    return read_arguments(__doc__.splitlines()[0], SPLITS, Path(__file__).parent, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares the splits that the command line names."""
    options = parse_args(arguments)
    cityscapes = require(options.root / "cityscapes", "create it and put the archives there")
    for split in options.splits:
        unpack_archives(cityscapes, split)
        annotations = find_annotations(cityscapes, split)
        write_panoptic(annotations, split, options.workers)
        labelled = map_in_processes(
            write_train_ids, annotations, options.workers, f"training ids of {split}"
        )
        print(f"Cityscapes {split}: {len(annotations)} images are ready in {cityscapes}")
        if without := [path for path, has in zip(annotations, labelled, strict=True) if not has]:
            print(
                f"{len(without)} of them have no label ids, e.g. {_beside(without[0], LABELS)}: "
                "training, PQ and AP do without, the official IoU does not "
                "(MODEL.KMAX_DEEPLAB.TEST.SEMANTIC_ON False)"
            )


def _beside(instances: Path, kind: str) -> Path:
    return instances.with_name(instances.name.replace(INSTANCES, kind))


def _is_complete(target: Path, annotations: Sequence[Path], workers: int) -> bool:
    """Says whether a panoptic JSON lists every annotated image and all its PNGs can be read."""
    if not target.is_file():
        return False
    entries = json.loads(target.read_text(encoding="utf-8"))["annotations"]
    expected = {path.name.removesuffix(INSTANCES) for path in annotations}
    if {entry["image_id"] for entry in entries} != expected:
        return False
    pngs = [target.with_suffix("") / entry["file_name"] for entry in entries]
    return all(
        map_in_processes(is_image, pngs, workers, f"PNGs of {annotations[0].parent.parent.name}")
    )


if __name__ == "__main__":
    command.run(main)
