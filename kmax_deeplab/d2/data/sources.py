"""Where a registered dataset lies: a name enters, the places that its check looks at leave."""

from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.data.check.dataset_check import Source
from kmax_deeplab.data.format.zips import is_file, is_folder

DERIVED_NAMES = ("cityscapes_panoptic_seg",)
"""Evaluator types of datasets whose JSONs do not name the images as they lie in their folder."""


def panoptic_source(name: str) -> Source:
    """Returns where a registered panoptic dataset lies, for its check.

    Raises:
        ValueError: no dataset has this name, or it is no panoptic one.
    """
    if name not in DatasetCatalog:
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
