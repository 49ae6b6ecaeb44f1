"""What an evaluator is given: a dataset's classes and records, and where results go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from kmax_deeplab.data.format.categories import Categories


@dataclass(frozen=True)
class Task:
    """A dataset to evaluate; every evaluator is built from one.

    Attributes:
        name: of the dataset.
        categories: in the order of the model's outputs, with the dataset's ids.
        records: the images to evaluate, as the catalog has them.
        metadata: names further ground truth, as the dataset has it.
        folder: of results; None writes nothing.
        save_predictions: whether predictions are kept there in the format of the benchmark.
        save_pictures: number of images of which a picture is.
        is_continued: whether the files of an interrupted evaluation stay.

    Raises:
        ValueError: files are asked for, but no folder is given.
    """

    name: str
    categories: Categories
    records: Sequence[Mapping]
    metadata: Metadata
    folder: Path | None = None
    save_predictions: bool = False
    save_pictures: int = 0
    is_continued: bool = False

    def __post_init__(self) -> None:
        if self.folder is None and (self.save_predictions or self.save_pictures):
            raise ValueError("save_predictions and save_pictures need a folder")


def make_task(
    name: str,
    folder: str | Path | None,
    *,
    records: Sequence[Mapping] | None = None,
    save_predictions: bool = False,
    save_pictures: int = 0,
    is_continued: bool = False,
) -> Task:
    """Gathers what the catalogs know of a registered dataset.

    Args:
        name: in the catalogs.
        folder, save_predictions, save_pictures, is_continued: see `Task`.
        records: the images to evaluate; all of the dataset if None.

    Raises:
        ValueError: the dataset has no panoptic ground truth, or no folder is given for files.
    """
    metadata = require_panoptic(name)
    records = DatasetCatalog.get(name) if records is None else records
    return Task(
        name,
        metadata.categories,
        records,
        metadata,
        Path(folder) if folder else None,
        save_predictions=save_predictions,
        save_pictures=save_pictures,
        is_continued=is_continued,
    )


def require_panoptic(name: str) -> Metadata:
    """Returns the metadata of a dataset with panoptic ground truth; no image is looked at.

    Raises:
        ValueError: it has none.
    """
    metadata = MetadataCatalog.get(name)
    for needed in ("panoptic_json", "panoptic_root", "categories"):
        if metadata.get(needed) is None:
            raise ValueError(
                f"dataset {name!r} has no {needed} in its metadata: it is no panoptic dataset; "
                "register it (DATASETS.PANOPTIC)"
            )
    return metadata
