"""LabelMe: a folder of its JSONs enters, regions leave.

Polygons, rectangles and circles are drawn with pixels as squares, (0, 0) being the corner of the
image: polygons as COCO's own tool does, of circles the pixels whose centre they hold. Masks lie
where LabelMe puts them. Shapes of one label and one group_id are one object; what encloses nothing,
points and lines, is dropped. Classes are the labels, sorted; all are things.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath

import numpy as np

from kmax_deeplab.data.convert.labelme_shapes import AREAS, POLYGON, draw_shape
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, find_files

EMPTY = "shapes without a pixel"
EMBEDDED = "the JSON holds it as imageData: write it out (labelme_export_json does)"
MISSING = "put it there"
"""What to do about an image that is not where its JSON says."""


def find_labelme(folder: Path, images: Path | None = None) -> Source:
    """Finds LabelMe's JSONs and their images.

    Args:
        folder: searched with its subfolders; images lie where the JSONs say, or beside them.
        images: where else they may lie.

    Raises:
        FileNotFoundError: an image does not exist.
        ValueError: a file is no JSON of LabelMe, or two are of one image; they are named.
    """
    jsons: dict[Path, Path] = {}
    names: set[str] = set()
    for path in find_files([folder], {".json"}):
        content = read_labelme(path)
        image = _locate(path, content, images)
        if image in jsons:
            raise ValueError(f"{jsons[image]} and {path} are both of {image}: keep one of them")
        jsons[image] = path
        names.update(shape["label"] for shape in content["shapes"])
    if not names:
        raise ValueError(f"{folder}: no JSON there holds a shape of LabelMe")
    home = Path(os.path.commonpath([image.parent for image in jsons]))
    classes = {name: number for number, name in enumerate(sorted(names), start=1)}
    found = []
    for image, path in jsons.items():
        name = image.relative_to(home)
        image_id = name.with_suffix("").as_posix()
        files = (path, image)
        found.append(LabelledImage(image_id, name.as_posix(), files, files))
    rows = [{"id": number, "name": name, "isthing": 1} for name, number in classes.items()]
    draw = partial(draw_labelme, classes)
    return Source(home, Categories.from_json(rows), found, draw, _name_unlabelled(jsons))


def _name_unlabelled(labelled: Collection[Path]) -> list[str]:
    """Tells of images beside labelled ones that no JSON is of."""
    left = [
        path
        for folder in sorted({image.parent for image in labelled})
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and path not in labelled
    ]
    if not left:
        return []
    return [
        f"Left out {len(left)} images that no JSON is of, {left[0]} first; for one that shows no "
        "object save a JSON without shapes."
    ]


def read_labelme(path: Path) -> Mapping:
    """Reads a JSON of LabelMe.

    Raises:
        ValueError: it is none; the message says what is wrong with which shape.
    """
    content = read_json(path)
    is_one = isinstance(content, Mapping) and isinstance(content.get("imagePath"), str)
    if not is_one or not isinstance(content.get("shapes"), list):
        raise ValueError(f"{path}: no JSON of LabelMe: it lacks 'imagePath', or 'shapes', a list")
    for number, shape in enumerate(content["shapes"]):
        is_text = isinstance(shape, Mapping) and isinstance(shape.get("label"), str)
        if not is_text or not shape["label"]:
            raise ValueError(f"{path}: shapes[{number}] has no label: name it, or delete it")
        for field in ("shape_type", "group_id"):
            if not isinstance(shape.get(field), str | int | None):
                raise ValueError(f"{path}: shapes[{number}]: {field} is {shape[field]!r}")
    return content


def _locate(path: Path, content: Mapping, images: Path | None) -> Path:
    """Finds the image of a JSON."""
    place = PureWindowsPath(content["imagePath"])
    folders = [path.parent] if images is None else [path.parent, images]
    for folder in folders:
        for name in (place.as_posix(), place.name):
            image = Path(os.path.normpath(folder / name))
            if image.is_file():
                return image
    remedy = EMBEDDED if content.get("imageData") else MISSING
    raise FileNotFoundError(
        f"{path}: its image {place.as_posix()!r} does not exist; {remedy}, or name the folder of "
        "the images with --images"
    )


def draw_labelme(classes: Mapping[str, int], image: LabelledImage) -> Labels:
    """Draws the shapes of an image.

    Args:
        classes: category ids by label.
        image: its labels are the JSON and the image file.

    Raises:
        ValueError: the image has another size, or a shape cannot be; file and shape are named.
    """
    path, picture = image.labels
    content, size = read_labelme(path), read_size(picture)
    said = (content.get("imageHeight"), content.get("imageWidth"))
    if said != (None, None) and said != size:
        raise ValueError(
            f"{path}: says (height, width) {said}, its image {picture} has {size} (upright, as its "
            "EXIF rotation says): the labels are of another version of it"
        )
    masks, dropped = _draw_objects(path, content["shapes"], size)
    regions = [Region.of(classes[label], mask) for (label, *_), mask in masks.items()]
    return Labels(size, regions, dropped)


def _draw_objects(
    path: Path, shapes: Sequence[Mapping], size: tuple[int, int]
) -> tuple[dict[tuple, np.ndarray], Counter[str]]:
    """Draws shapes; returns the mask of each object, and how many are dropped, by the reason."""
    masks: dict[tuple, np.ndarray] = {}
    dropped: Counter[str] = Counter()
    for number, shape in enumerate(shapes):
        kind, group = shape.get("shape_type") or POLYGON, shape.get("group_id")
        if kind not in AREAS:
            dropped[f"shapes of the kind {kind!r}, which enclose nothing"] += 1
            continue
        try:
            mask = draw_shape(kind, shape, size)
        except ValueError as error:
            raise ValueError(f"{path}: shapes[{number}] ({shape['label']}): {error}") from error
        if not mask.any():
            dropped[EMPTY] += 1
            continue
        key = (shape["label"], group, number if group is None else None)
        masks[key] = masks[key] | mask if key in masks else mask
    return masks, dropped
