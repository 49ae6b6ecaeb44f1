"""Panoptic data from COCO detection JSON: instance masks, with or without stuff, leave as segments.

All categories of the detection JSON are things. Where masks overlap, the smaller one is on top; of
equal ones, that with the larger annotation id. Below all things lie the crowds, below those the
stuff that semantic PNGs give, one segment a class. Pixels of nobody are unlabelled.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pycocotools import mask as coco_mask

from kmax_deeplab.data.convert.label_values import match_by_name, read_values
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import (
    ANY,
    FLAG,
    ID,
    SIZE,
    TEXT,
    WHOLE,
    Fields,
    is_whole,
    read_lists,
)
from kmax_deeplab.data.format.writer import DrawnImage, DrawnSegment

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
    """

    images: Sequence[Mapping]
    annotations: Mapping[int | str, Sequence[Mapping]]
    categories: Categories


def read_detection(path: Path) -> Detection:
    """Reads a COCO detection JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none; the message names the file and what is wrong.
    """
    content = read_lists(path, LISTS)
    try:
        things = [{**category, "isthing": 1} for category in content["categories"]]
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
    return Detection(content["images"], by_image, categories)


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


def draw_images(
    detection: Detection,
    categories: Categories,
    semantic: Path | None = None,
    ending: str = "",
    ignore: Sequence[int] = (),
) -> Iterator[DrawnImage]:
    """Draws the segments of every image of a detection JSON.

    Args:
        detection: the JSON.
        categories: its things and the stuff of the PNGs.
        semantic: folder of PNGs with class values, named like the images; None: no stuff.
        ending: what names of semantic PNGs have after the image's name.
        ignore: values of the PNGs that mean unlabelled.

    Raises:
        ValueError: a mask or a PNG is damaged or does not fit; file or annotation are named.
    """
    pngs = {} if semantic is None else match_by_name(semantic, {".png"}, ending)
    for image in detection.images:
        name = PurePosixPath(image["file_name"]).with_suffix("").as_posix()
        size = (image["height"], image["width"])
        segment_map, segments = np.zeros(size, dtype=np.int64), []
        if semantic is not None:
            if name not in pngs:
                raise ValueError(f"{semantic} has no PNG {name}{ending}.png")
            segment_map, segments = draw_stuff(pngs[name], size, categories, ignore)
        for annotation, mask in _bottom_to_top(detection.annotations[image["id"]], image):
            segments.append(DrawnSegment(annotation["category_id"], _is_crowd(annotation)))
            segment_map[mask] = len(segments)
        yield DrawnImage(image["id"], image["file_name"], f"{name}.png", segment_map, segments)


def draw_stuff(
    path: Path, size: tuple[int, int], categories: Categories, ignore: Sequence[int]
) -> tuple[np.ndarray, list[DrawnSegment]]:
    """Draws the stuff of a semantic PNG; its pixels of things are left to the masks.

    Args:
        size: (height, width) of the image in pixels.

    Returns:
        (height, width) int64 segment numbers from 1, 0 where there is no stuff; and the segments.

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
    segment_map, segments = np.zeros(size, dtype=np.int64), []
    for category_id, is_thing in zip(categories.ids, categories.is_thing, strict=True):
        if category_id in present and not is_thing and category_id not in ignore:
            segments.append(DrawnSegment(category_id))
            segment_map[labels == category_id] = len(segments)
    return segment_map, segments


def decode_mask(segmentation: object, size: tuple[int, int]) -> np.ndarray:
    """Draws polygons, or decodes run lengths, compressed or not, as a (height, width) bool mask.

    Raises:
        ValueError: it is none of these, or of another size.
    """
    height, width = size
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if _is_area(polygon)]
        if not polygons:
            return np.zeros(size, dtype=bool)
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return coco_mask.decode(runs).astype(bool)
    if isinstance(segmentation, Mapping) and {"counts", "size"} <= segmentation.keys():
        if tuple(segmentation["size"]) != size:
            raise ValueError(f"its mask is {segmentation['size']}, its image {list(size)}")
        return _decode_runs(segmentation["counts"], size)
    raise ValueError("its segmentation is neither polygons nor run lengths")


def _is_area(polygon: object) -> bool:
    """Returns whether a polygon has three corners or more; fewer enclose nothing."""
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError(f"a polygon is a list x, y, x, y, … of numbers, not {str(polygon)[:60]}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
        raise ValueError(f"a polygon has a value that is no number: {str(polygon)[:60]}")
    return len(polygon) >= 6


def _decode_runs(counts: object, size: tuple[int, int]) -> np.ndarray:
    """Decodes run lengths, column by column, as a (height, width) bool mask.

    `pycocotools` leaves pixels that no run covers uninitialised.
    """
    lengths = _read_lengths(counts) if isinstance(counts, str | bytes) else counts
    if not isinstance(lengths, list) or not all(is_whole(n) and n >= 0 for n in lengths):
        raise ValueError("its run lengths are no whole numbers of pixels")
    height, width = size
    if sum(lengths) != height * width:
        raise ValueError(
            f"its run lengths cover {sum(lengths)} pixels, its image has {height * width}: the "
            "mask is cut off or of another image"
        )
    is_inside = np.arange(len(lengths)) % 2 == 1
    return is_inside.repeat(lengths).reshape(width, height).T


def _read_lengths(text: str | bytes) -> list[int]:
    """Reads COCO's compressed run lengths: 5 bits a character, differences from the third on."""
    lengths, value, shift = [], 0, 0
    for character in text.encode() if isinstance(text, str) else text:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its run lengths hold the character {chr(character)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its run lengths end in the middle of a number")
    return lengths


def _bottom_to_top(
    annotations: Sequence[Mapping], image: Mapping
) -> list[tuple[Mapping, np.ndarray]]:
    """Decodes the masks of an image and orders them: crowds, then from large to small."""
    masks = []
    for annotation in annotations:
        try:
            mask = decode_mask(annotation["segmentation"], (image["height"], image["width"]))
        except Exception as error:  # pycocotools raises all kinds
            raise ValueError(
                f"annotation {annotation['id']} of {image['file_name']}: {error}"
            ) from error
        masks.append((annotation, mask))
    return sorted(masks, key=lambda one: (not _is_crowd(one[0]), -int(one[1].sum()), one[0]["id"]))


def _is_crowd(annotation: Mapping) -> bool:
    return bool(annotation.get("iscrowd", 0))
