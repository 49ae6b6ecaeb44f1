"""COCO detection JSON: instance masks, with or without stuff of semantic PNGs, leave as regions.

All categories of the detection JSON are things, but for the root that Roboflow adds, which is
none. Annotations count in the order of their ids. The values of things in the PNGs are left to the
masks. Pixels of nobody are unlabelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from kmax_deeplab.data.convert.label_values import match_by_name, read_values
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.convert.masks import decode_mask
from kmax_deeplab.data.convert.root_category import drop_root
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import (
    ANY,
    FLAG,
    ID,
    SIZE,
    TEXT,
    WHOLE,
    Fields,
    read_lists,
)

LISTS = {
    "images": Fields({"id": ID, "file_name": TEXT, "height": SIZE, "width": SIZE}),
    "annotations": Fields(
        {"id": WHOLE, "image_id": ID, "category_id": WHOLE, "segmentation": ANY}, {"iscrowd": FLAG}
    ),
    "categories": Fields({"id": WHOLE, "name": TEXT}),
}
"""Lists of a detection JSON, and what the fields of their entries must be."""


@dataclass(frozen=True)
class Detection:
    """A COCO detection JSON.

    Attributes:
        images: its "images".
        annotations: of each image id, in the order of their ids.
        categories: all of them things.
        notes: sentences on categories that were left out.
    """

    images: Sequence[Mapping]
    annotations: Mapping[int | str, Sequence[Mapping]]
    categories: Categories
    notes: Sequence[str] = ()


def read_detection(path: Path) -> Detection:
    """Reads a COCO detection JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none; the message names the file and what is wrong.
    """
    content = read_lists(path, LISTS)
    used = {annotation["category_id"] for annotation in content["annotations"]}
    listed, notes = drop_root(content["categories"], used)
    try:
        things = [{**category, "isthing": 1} for category in listed]
        categories = Categories.from_json(things)
    except ValueError as error:
        raise ValueError(f"{path}: no COCO detection JSON ({error})") from error
    by_image: dict[int | str, list[Mapping]] = {image["id"]: [] for image in content["images"]}
    for annotation in sorted(content["annotations"], key=lambda one: one["id"]):
        image_id, category_id = annotation["image_id"], annotation["category_id"]
        if image_id not in by_image or category_id not in categories.contiguous:
            raise ValueError(
                f"{path}: annotation {annotation['id']} is of image {image_id!r} and category "
                f"{category_id!r}, which the JSON does not both list"
            )
        by_image[image_id].append(annotation)
    return Detection(content["images"], by_image, categories, notes)


def join_categories(things: Categories, stuff: Categories | None) -> Categories:
    """Appends the stuff of a table of classes to the things of a detection JSON.

    Raises:
        ValueError: the table lists a thing that the JSON does not know, or another class by an id.
    """
    if stuff is None:
        return things
    added = []
    known = {entry["id"]: entry["name"] for entry in things.to_json()}
    for entry in stuff.to_json():
        if entry["isthing"] and known.get(entry["id"]) != entry["name"]:
            raise ValueError(
                f"the table of classes lists the thing {entry['id']} {entry['name']!r}; things "
                "come from the detection JSON, which has another or none by that id"
            )
        if not entry["isthing"]:
            added.append(entry)
    return Categories.from_json([*things.to_json(), *added])


@dataclass(frozen=True)
class Annotated:
    """What an image of a detection JSON is drawn from.

    Attributes:
        size: (height, width) that the JSON says.
        annotations: in the order of their ids.
        semantic: PNG of the stuff; None: there is none.
        image: file of the image, if its folder is known.
    """

    size: tuple[int, int]
    annotations: Sequence[Mapping]
    semantic: Path | None
    image: Path | None = None


def find_detection(
    path: Path,
    images: Path | None = None,
    semantic: Path | None = None,
    stuff: Categories | None = None,
    ending: str = "",
    ignore: Sequence[int] = (),
) -> Source:
    """Finds the images of a detection JSON.

    Args:
        path: of the JSON.
        images: folder of the images, if it is known; their sizes are compared then.
        semantic: folder of PNGs with class values, named like the images; None: no stuff.
        stuff: the classes of the PNGs.
        ending: what names of semantic PNGs have after the image's name.
        ignore: values of the PNGs that mean unlabelled.

    Raises:
        FileNotFoundError: there is no such JSON.
        ValueError: the JSON or the classes cannot be, or an image has no PNG; it is named.
    """
    detection = read_detection(path)
    categories = join_categories(detection.categories, stuff)
    pngs = {} if semantic is None else match_by_name(semantic, {".png"}, ending)
    found = []
    for image in detection.images:
        name = PurePosixPath(image["file_name"]).with_suffix("").as_posix()
        if semantic is not None and name not in pngs:
            raise ValueError(f"{semantic} has no PNG {name}{ending}.png")
        png, size = pngs.get(name), (image["height"], image["width"])
        place = None if images is None else images / image["file_name"]
        labels = Annotated(size, detection.annotations[image["id"]], png, place)
        files = tuple(file for file in (path, png, place) if file)
        found.append(LabelledImage(image["id"], image["file_name"], labels, files))
    kept = tuple(sorted(set(ignore)))
    draw = partial(draw_image, categories, kept)
    return Source(images, categories, found, draw, detection.notes)


def draw_image(categories: Categories, ignore: Sequence[int], image: LabelledImage) -> Labels:
    """Draws the annotations of an image, and its stuff.

    Raises:
        FileNotFoundError: the image does not exist.
        ValueError: a mask or a PNG is damaged or does not fit, or the image has another size;
            file or annotation are named.
    """
    one: Annotated = image.labels
    if one.image is not None and (size := read_size(one.image)) != one.size:
        raise ValueError(
            f"{one.image} has (height, width) {size} (upright, as its EXIF rotation says), the "
            f"JSON says {one.size}: the labels are of another version of it"
        )
    stuff, void = [], None
    if one.semantic is not None:
        stuff, void = draw_stuff(one.semantic, one.size, categories, ignore)
    things = []
    for annotation in one.annotations:
        try:
            mask = decode_mask(annotation["segmentation"], one.size)
        except Exception as error:  # pycocotools raises all kinds
            name = f"annotation {annotation['id']} of {image.file_name}"
            raise ValueError(f"{name}: {error}") from error
        is_crowd = bool(annotation.get("iscrowd", 0))
        things.append(Region.of(annotation["category_id"], mask, iscrowd=is_crowd))
    return Labels(one.size, [*stuff, *things], void=void)


def draw_stuff(
    path: Path, size: tuple[int, int], categories: Categories, ignore: Sequence[int]
) -> tuple[list[Region], np.ndarray]:
    """Draws the stuff of a semantic PNG; its pixels of things are left to the masks.

    Args:
        size: (height, width) of the image in pixels.

    Returns:
        The regions, crowds if somebody makes things of them; and (H, W) bool, the pixels that the
        PNG calls unlabelled.

    Raises:
        ValueError: the PNG has another size or a value that is no class; it is named.
    """
    labels = read_values(path)
    if labels.shape != size:
        raise ValueError(f"{path} has (height, width) {labels.shape}, the JSON says {size}")
    present = np.unique(labels).tolist()
    if unknown := sorted(set(present) - set(categories.ids) - set(ignore)):
        raise ValueError(
            f"{path} has the values {unknown[:10]}, which are no classes; list them in --classes "
            f"or name them with --ignore (ignored now: {sorted(ignore)})"
        )
    regions = [
        Region.of(category_id, labels == category_id, iscrowd=True)
        for category_id, is_thing in zip(categories.ids, categories.is_thing, strict=True)
        if category_id in present and not is_thing and category_id not in ignore
    ]
    return regions, np.isin(labels, ignore)
