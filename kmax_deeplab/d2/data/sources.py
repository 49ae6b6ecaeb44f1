"""What a registered dataset holds: a name enters, its records or the places of its files leave."""

from collections.abc import Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.build import get_detection_dataset_dicts

from kmax_deeplab.data.check.dataset_check import Source
from kmax_deeplab.data.format.zips import is_file, is_folder

DERIVED_NAMES = ("cityscapes_panoptic_seg",)
"""Evaluator types of datasets whose JSONs do not name the images as they lie in their folder."""


def is_registered(name: str) -> bool:
    """Says whether a dataset has this name."""
    return name in DatasetCatalog


def records_of(names: Sequence[str]) -> list[dict]:
    """Returns the records of datasets one after another; images without a thing are among them."""
    return get_detection_dataset_dicts(names, filter_empty=False)


def panoptic_source(name: str) -> Source:
    """Returns where a registered panoptic dataset lies, for its check.

    Raises:
        ValueError: no dataset has this name, or it is no panoptic one.
    """
    if not is_registered(name):
        known = [other for other in DatasetCatalog.list() if "panoptic" in other]
        raise ValueError(f"no dataset is named {name!r}; panoptic ones are {known}")
    metadata = MetadataCatalog.get(name)
    places = [metadata.get(key) for key in ("image_root", "panoptic_json", "panoptic_root")]
    if None in places:
        raise ValueError(f"dataset {name!r} is no panoptic one: its metadata name no such files")
    files = None
    derived = metadata.get("evaluator_type") in DERIVED_NAMES
    if derived and all(is_folder(place) or is_file(place) for place in places):
        files = {
            record["image_id"]: (record["file_name"], record["pan_seg_file_name"])
            for record in DatasetCatalog.get(name)
        }
    return Source(name, *places, files)
