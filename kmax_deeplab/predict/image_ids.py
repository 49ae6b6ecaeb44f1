"""The dataset's own ids of images: its JSON enters, the id of each image file leaves."""

import posixpath
from collections.abc import Mapping
from pathlib import Path

from kmax_deeplab.data.format.contents import ID, TEXT, Fields, read_lists

IMAGES = {"images": Fields({"id": ID, "file_name": TEXT})}
"""What is needed of a dataset's JSON, panoptic or of detection."""
ImageId = int | str


def read_image_ids(json_path: str | Path, named: Mapping[str, Path]) -> dict[str, ImageId]:
    """Finds the id of each image in a dataset's JSON.

    An image is the one of which the JSON lists the longest end of its path: `val/1.png` for
    /data/val/1.png, if it lists that, or else `1.png`.

    Args:
        json_path: holds "images", each with "id" and "file_name".
        named: path of each image by its name.

    Returns:
        Id by name.

    Raises:
        FileNotFoundError: there is no such JSON.
        ValueError: it holds no such list, or lists no such image.
    """
    images = read_lists(json_path, IMAGES)["images"]
    listed = {posixpath.normpath(image["file_name"]): image["id"] for image in images}
    ids = {}
    for name, path in named.items():
        parts = path.parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        found = next((end for end in ends if end in listed), None)
        if found is None:
            raise ValueError(
                f"{json_path} does not list {path} among its images: predict images of that "
                "dataset, or leave out --dataset-json"
            )
        ids[name] = listed[found]
    _require_one_each(json_path, ids, named)
    return ids


def _require_one_each(
    json_path: str | Path, ids: Mapping[str, ImageId], named: Mapping[str, Path]
) -> None:
    name_of: dict[ImageId, str] = {}
    for name, image_id in ids.items():
        if (other := name_of.setdefault(image_id, name)) != name:
            raise ValueError(
                f"{named[other]} and {named[name]} are both image {image_id!r} of {json_path}: "
                "predict one of them"
            )
