"""Predictions and truth on disk, in COCO's panoptic format: places enter, pairs of maps leave."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.pngs import png_folder, read_ids
from kmax_deeplab.data.samples.reading import read_image
from kmax_deeplab.metrics.panoptic_quality import LabelledMap


@dataclass(frozen=True)
class Labelled:
    """A dataset with its truth.

    Attributes:
        json: of COCO's panoptic format.
        pngs: folder of its panoptic PNGs; None: beside the JSON, named like it.
        images: folder of its images; None: there are no pictures.
    """

    json: Path
    pngs: Path | None = None
    images: Path | None = None


@dataclass(frozen=True)
class Compared:
    """An image with what was found in it and what is there.

    Attributes:
        name: of the image.
        image: its path, if the folder is known.
        prediction, truth: their segments.
    """

    name: str
    image: Path | None
    prediction: LabelledMap
    truth: LabelledMap

    def pixels(self) -> np.ndarray:
        """Reads the image, (H, W, 3) uint8, or a grey one where it is not known."""
        if self.image is None:
            return np.full((*self.truth.ids.shape, 3), 128, np.uint8)
        return read_image(self.image)


def read_categories_of(truth: Labelled) -> list[dict]:
    """Returns the categories of a dataset.

    Raises:
        FileNotFoundError, ValueError: the JSON is missing, or no panoptic one.
    """
    return _require(truth.json, "categories")


def read_compared(
    predictions: Path,
    truth: Labelled,
    *,
    is_part: bool = False,
    only: Collection[str] | None = None,
) -> Iterator[Compared]:
    """Yields the images of a dataset with what was predicted of them, in the dataset's order.

    Args:
        predictions: JSON of COCO's panoptic format, or a folder with `predictions.json`; its PNGs
            lie beside it, in a folder named like it or else with it. Images are known by their ids,
            or else by their names without suffix.
        truth: of the dataset.
        is_part: whether images without a prediction are left out.
        only: names of images; None: all.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a JSON lacks what it needs, or an image of the dataset has no prediction.
    """
    path = predictions / "predictions.json" if predictions.is_dir() else predictions
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: predictions are a JSON of COCO's panoptic format with its PNGs, "
            "as tools/predict.py writes them, or an evaluation with TEST.SAVE_PREDICTIONS True"
        )
    found = _require(path, "annotations")
    by_id = {entry["image_id"]: entry for entry in found}
    by_stem = {_stem(entry["file_name"]): entry for entry in found}
    images = {image["id"]: image["file_name"] for image in _require(truth.json, "images")}
    places = [png_folder(path), path.parent]
    predicted_pngs = next((place for place in places if place.is_dir()), places[0])
    pngs = truth.pngs or png_folder(truth.json)
    for entry in _require(truth.json, "annotations"):
        name = images[entry["image_id"]]
        if only is not None and name not in only:
            continue
        predicted = by_id.get(entry["image_id"]) or by_stem.get(_stem(name))
        if predicted is None and is_part:
            continue
        if predicted is None:
            raise ValueError(f"{path} has no prediction of {name} (id {entry['image_id']})")
        yield Compared(
            name,
            truth.images / name if truth.images else None,
            _labelled(predicted_pngs, predicted),
            _labelled(pngs, entry),
        )


def _labelled(folder: Path, entry: Mapping) -> LabelledMap:
    return LabelledMap(read_ids(folder / entry["file_name"]), entry["segments_info"])


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _require(path: Path, key: str) -> list[dict]:
    content = read_json(path)
    if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
        raise ValueError(f"{path} has no list {key!r}: it is no JSON of COCO's panoptic format")
    return content[key]
