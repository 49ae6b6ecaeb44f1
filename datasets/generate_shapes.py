"""Writes "shapes", the embedded panoptic dataset, in the COCO-panoptic format.

What enters: a folder, the number of training and validation images, a seed and an image size.
What leaves: `{train,val}/images/*.jpg`, `{train,val}/panoptic/*.png`, `{train,val}/panoptic.json`
and `meta.json` with the settings. Every image depends on (seed, split, index) alone, so runs agree
byte by byte.

    python datasets/generate_shapes.py --output output/demo/data --train 2000 --val 150
"""

import argparse
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from shapes_scene import CATEGORIES, draw

from kmax_deeplab import command

GENERATOR = 1  # raise it whenever the drawings change, so that old folders are not reused
SPLITS = ("train", "val")


def write_split(folder: Path, count: int, seed: int, size: int) -> None:
    """Writes the images, panoptic PNGs and JSON of one split into an existing empty folder."""
    for name in ("images", "panoptic"):
        (folder / name).mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        rng = np.random.default_rng((seed, SPLITS.index(folder.name), index))
        image, ids, segments = draw(rng, size)
        jpg, png = f"{index:06d}.jpg", f"{index:06d}.png"
        bgr_of_ids = np.stack((ids >> 16, ids >> 8 & 255, ids & 255), axis=2).astype(np.uint8)
        quality = (cv2.IMWRITE_JPEG_QUALITY, 95)
        cv2.imwrite(str(folder / "images" / jpg), image[..., ::-1], quality)
        cv2.imwrite(str(folder / "panoptic" / png), bgr_of_ids)
        images.append({"id": index, "file_name": jpg, "height": size, "width": size})
        annotations.append({"image_id": index, "file_name": png, "segments_info": segments})
    panoptic = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / "panoptic.json").write_text(json.dumps(panoptic), encoding="utf-8")


@dataclass(frozen=True)
class Settings:
    """What decides the content of the folder: image counts, seed and image size in pixels."""

    train: int
    val: int
    seed: int
    size: int
    generator: int = GENERATOR


def generate(output: Path, settings: Settings) -> bool:
    """Writes the dataset, or leaves it alone if the folder holds it already.

    Works in `<output>.partial` and renames it at the end, so that an interrupted run leaves no
    half dataset behind.

    Returns:
        Whether anything was written.

    Raises:
        ValueError: the folder holds something else, or a setting is out of range.
    """
    if min(settings.train, settings.val) < 1 or settings.size < 64:
        raise ValueError(f"{settings}: needs at least 1 image per split and a size of 64 pixels")
    meta = output / "meta.json"
    if meta.is_file() and json.loads(meta.read_text(encoding="utf-8")) == asdict(settings):
        return False
    if output.exists() and any(output.iterdir()):
        raise ValueError(
            f"{output} holds files that were not made with {asdict(settings)}: "
            "delete the folder or choose another --output"
        )
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for split in SPLITS:
        write_split(partial / split, getattr(settings, split), settings.seed, settings.size)
    (partial / meta.name).write_text(json.dumps(asdict(settings)), encoding="utf-8")
    partial.replace(output)
    return True


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/demo/data"))
    parser.add_argument("--train", type=int, default=2000, help="number of training images")
    parser.add_argument("--val", type=int, default=150, help="number of validation images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=129, help="height and width in pixels")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Generates what is not there yet and says what happened."""
    options = vars(parse_args(arguments))
    output = options.pop("output")
    written = generate(output, Settings(**options))
    print(f"{output}: {'written' if written else 'already there, unchanged'}")


if __name__ == "__main__":
    command.run(main)
