"""COCO-panoptic exports of annotation tools, which need repair: JSON and PNGs enter, regions leave.

Areas, boxes and ids are made anew from the PNGs; a segment that no pixel shows is dropped and
counted (Datumaro, and with it CVAT, lists covered ones); an id that is listed twice for one class
is one segment (segments.ai writes stuff so); colours may lack. What the JSON cannot have lost, and
what cannot be repaired, is refused: an id that it does not list, a PNG of another size, things that
nobody told from stuff.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.convert.root_category import drop_root
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import (
    ANY,
    FLAG,
    ID,
    LIST,
    TEXT,
    WHOLE,
    Fields,
    find_repeated,
    read_lists,
)
from kmax_deeplab.data.format.pngs import DamagedPngError, png_folder, read_ids

LISTS = {
    "images": Fields({"id": ID, "file_name": TEXT}, {"height": ANY, "width": ANY}),
    "annotations": Fields({"image_id": ID, "file_name": TEXT, "segments_info": LIST}),
    "categories": Fields({"id": WHOLE, "name": TEXT}, {"isthing": FLAG}),
}
"""Lists of such a JSON, and what the fields of their entries must be, if they are there."""
VOID = 0
"""Id of pixels without a label."""


@dataclass(frozen=True)
class Exported:
    """What an image of an export is drawn from.

    Attributes:
        png: with the ids.
        segments: "segments_info" of each id.
        size: (height, width) that the JSON says; None where it does not.
        image: file of the image, if its folder is known.
    """

    png: Path
    segments: Mapping[int, Mapping]
    size: tuple[int, int] | None
    image: Path | None


def find_panoptic(
    path: Path, pngs: Path | None = None, images: Path | None = None, *, kinds_said: bool = False
) -> Source:
    """Finds the images of an export.

    Args:
        path: of the JSON.
        pngs: folder of the PNGs; None: beside the JSON, named like it.
        images: folder of the images, if it is known.
        kinds_said: whether somebody else says which classes are things.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: the JSON contradicts itself, or does not tell things from stuff.
    """
    content = read_lists(path, LISTS)
    faults = [text for kind, text in find_repeated(content) if kind != "duplicate-segment"]
    if faults:
        raise ValueError(
            f"{path}: {faults[0]}" + f" (and {len(faults) - 1} more)" * bool(faults[1:])
        )
    pngs = png_folder(path) if pngs is None else pngs
    if not pngs.is_dir():
        raise FileNotFoundError(f"{pngs}: this folder of PNGs does not exist: name it with --pngs")
    annotations = {one["image_id"]: one for one in content["annotations"]}
    if strangers := annotations.keys() - {one["id"] for one in content["images"]}:
        raise ValueError(
            f"{path}: annotations of images {sorted(strangers, key=str)[:5]}, not listed"
        )
    used = {s["category_id"] for one in content["annotations"] for s in one["segments_info"]}
    rows, notes = drop_root(content["categories"], used)
    if not kinds_said:
        require_kinds(path, rows, content["annotations"])
    categories = Categories.from_json([{"isthing": 0, **row} for row in rows])
    found = []
    for image in content["images"]:
        if (annotation := annotations.get(image["id"])) is None:
            continue
        place = None if images is None else images / image["file_name"]
        segments = _read_segments(path, annotation, categories)
        labels = Exported(pngs / annotation["file_name"], segments, _read_size(image), place)
        files = (path, labels.png) if place is None else (path, labels.png, place)
        found.append(LabelledImage(image["id"], image["file_name"], labels, files))
    if lacking := len(content["images"]) - len(found):
        notes.append(f"Left out {lacking} images: {path.name} has no annotation of them.")
    return Source(images, categories, found, partial(draw_png, path), notes)


def require_kinds(
    path: Path, categories: Sequence[Mapping], annotations: Sequence[Mapping]
) -> None:
    """Refuses classes that nobody told apart into things and stuff.

    Raises:
        ValueError: "isthing" lacks, or it is 0 everywhere though an image has several segments of
            a class.
    """
    help = "name the classes of things with --things (with none after it, if all are stuff)"
    if lacking := [one["name"] for one in categories if "isthing" not in one]:
        raise ValueError(f"{path}: does not say whether {lacking[:5]} are things: {help}")
    if any(one["isthing"] for one in categories):
        return
    names = {one["id"]: one["name"] for one in categories}
    for annotation in annotations:
        listed = {(one["id"], one["category_id"]) for one in annotation["segments_info"]}
        counts = Counter(category_id for _, category_id in listed)
        if several := [names.get(i, i) for i, count in counts.items() if count > 1]:
            raise ValueError(
                f"{path}: calls no class a thing, as CVAT and Datumaro do, but image "
                f"{annotation['image_id']!r} has several segments of {several[:5]}: {help}"
            )


def _read_segments(path: Path, annotation: Mapping, categories: Categories) -> dict[int, Mapping]:
    """Returns the segments by id, one that is listed twice but once."""
    where = f"{path}: image {annotation['image_id']!r}"
    segments: dict[int, Mapping] = {}
    for segment in annotation["segments_info"]:
        if segment["category_id"] not in categories.contiguous:
            raise ValueError(f"{where}: category {segment['category_id']} is not listed")
        other = segments.setdefault(segment["id"], segment)
        if other["category_id"] != segment["category_id"]:
            raise ValueError(
                f"{where}: segment {segment['id']} is of the categories {other['category_id']} and "
                f"{segment['category_id']}: give classes different colours and export it again"
            )
    return segments


def _read_size(image: Mapping) -> tuple[int, int] | None:
    size = image.get("height"), image.get("width")
    return None if None in size else size


def draw_png(path: Path, image: LabelledImage) -> Labels:
    """Draws the segments of an image, in the order of the JSON.

    Args:
        path: of the JSON.
        image: of `find_panoptic`.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a PNG is damaged, of another size, or shows an id that the JSON does not list.
    """
    one: Exported = image.labels
    ids = _read_png(one.png)
    for place, size in ((path, one.size), (one.image, one.image and read_size(one.image))):
        if size not in (None, ids.shape):
            raise ValueError(
                f"{one.png} has (height, width) {ids.shape}, {place} says {size}: export it again"
            )
    values, numbers, areas = np.unique(ids, return_inverse=True, return_counts=True)
    shown = dict(zip(values.tolist(), areas.tolist(), strict=True))
    if strangers := sorted(shown.keys() - one.segments.keys() - {VOID}):
        raise ValueError(
            f"{one.png} shows the ids {strangers[:10]}, which {path} does not list: they belong to "
            "different exports, or the PNG was scaled or compressed"
        )
    numbers = numbers.reshape(ids.shape)  # (H, W), positions in `values`
    boxes = dict(zip(values.tolist(), ndimage.find_objects(numbers + 1), strict=True))
    positions = {value: position for position, value in enumerate(values.tolist())}
    regions = [
        Region(
            segment["category_id"],
            numbers[boxes[i]] == positions[i],
            boxes[i][0].start,
            boxes[i][1].start,
            bool(segment.get("iscrowd", 0)),
        )
        for i, segment in one.segments.items()
        if i in shown
    ]
    hidden = len(one.segments) - len(regions)
    wrong = sum(s.get("area", shown[i]) != shown[i] for i, s in one.segments.items() if i in shown)
    return Labels(
        ids.shape,
        regions,
        {"segment that the JSON lists and no pixel shows": hidden} if hidden else {},
        {"Segments whose area in the JSON was not that of the PNG": wrong} if wrong else {},
    )


def _read_png(path: Path) -> np.ndarray:
    try:
        return read_ids(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: this PNG does not exist") from error
    except DamagedPngError as error:
        raise ValueError(f"{error}: export it again") from error
