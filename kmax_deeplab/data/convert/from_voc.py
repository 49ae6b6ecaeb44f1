"""Pascal VOC segmentation: PNGs of classes and of objects enter, regions leave.

    ROOT/JPEGImages/a.jpg, SegmentationClass/a.png, SegmentationObject/a.png
    ROOT/ImageSets/Segmentation/train.txt, val.txt: names of images, part by part
    ROOT/labelmap.txt: classes and colours, as CVAT writes it

Without labelmap.txt, or a table, the classes are the 20 of VOC. Numbers of grey and palette PNGs
are positions in the list of classes; with a labelmap.txt palettes count by their colours, as RGB
always does. The number 255 and its colour are void. "background" is stuff, all else are things; an
object is a pair of class and object number.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from kmax_deeplab.data.convert.from_label_pngs import find_regions
from kmax_deeplab.data.convert.label_values import match_by_name, read_values
from kmax_deeplab.data.convert.labels import (
    LabelledImage,
    Labels,
    Source,
    read_lines,
    read_size,
)
from kmax_deeplab.data.convert.voc_classes import VOID, VocClasses, read_voc_classes, voc_color
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES
from kmax_deeplab.data.format.pngs import decode_ids, encode_ids

IMAGES, CLASSES, OBJECTS = "JPEGImages", "SegmentationClass", "SegmentationObject"
LISTS = Path("ImageSets/Segmentation")
"""Folders below the root."""
FIRST, UNITED, ONLY = "train", "trainval", "default"
"""The list that comes first, and those that are no part: VOC's of all images for training and
validation, which counts where these have no lists of their own, and CVAT's of images in none."""
NOBODY = -1
"""Stands for void, which no class can have as its number."""


@dataclass(frozen=True)
class VocFiles:
    """The files of an image; without objects all classes are stuff."""

    image: Path
    classes: Path
    objects: Path | None


def find_voc(
    root: Path, images: Path | None = None, table: Path | None = None, *, all_stuff: bool = False
) -> Source:
    """Finds the images of a VOC folder that have labels.

    Args:
        root: see the top of this file.
        images: folder of the images, if it is another.
        table: of classes, if they are others.
        all_stuff: whether no class is a thing, so that objects do not matter.

    Raises:
        FileNotFoundError: the root has no SegmentationClass.
        ValueError: the classes cannot be, or files or lists do not match; they are named.
    """
    folder = images or root / IMAGES
    _require_folders(root, folder, all_stuff)
    classes = read_voc_classes(root, table)
    if all_stuff:
        no_things = (False,) * len(classes.categories)
        classes = replace(classes, categories=replace(classes.categories, is_thing=no_things))
    pictures = match_by_name(folder, IMAGE_SUFFIXES)
    pngs = match_by_name(root / CLASSES, {".png"})
    objects = dict.fromkeys(pngs) if all_stuff else match_by_name(root / OBJECTS, {".png"})
    parts = read_parts(root / LISTS) or dict.fromkeys(pngs, "")
    found = []
    for name, part in parts.items():
        for place, files in ((folder, pictures), (root / CLASSES, pngs), (root / OBJECTS, objects)):
            if name not in files:
                raise ValueError(
                    f"{place} has no file {name}.*, though it is listed or labelled: put it there, "
                    "or delete what names it"
                )
        one = VocFiles(pictures[name], pngs[name], objects[name])
        files = tuple(path for path in (one.image, one.classes, one.objects) if path)
        file_name = one.image.relative_to(folder).as_posix()
        found.append(LabelledImage(name, file_name, one, files, part))
    unlisted = len(pngs.keys() - parts.keys())
    notes = [f"{unlisted} images with labels are in no list of {root / LISTS}."] if unlisted else []
    return Source(folder, classes.categories, found, partial(draw_voc, classes), notes)


def _require_folders(root: Path, images: Path, all_stuff: bool) -> None:
    if not (root / CLASSES).is_dir():
        raise FileNotFoundError(f"{root / CLASSES}: this folder does not exist; is {root} VOC's?")
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: this folder does not exist; name it with --images")
    if not all_stuff and not (root / OBJECTS).is_dir():
        raise ValueError(
            f"{root / OBJECTS} does not exist, so nothing tells objects apart: say --things without"
            " a class to take all as stuff, or use convert.py pngs with --components"
        )


def read_parts(folder: Path) -> dict[str, str]:
    """Returns the part of each listed image by its name; nothing where there are no lists.

    Raises:
        ValueError: an image is in two lists.
    """
    lists = {path.stem: _read_names(path) for path in sorted(folder.glob("*.txt"))}
    if lists.keys() & {FIRST, "val"}:
        lists.pop(UNITED, None)
    parts: dict[str, str] = {}
    for part, names in sorted(lists.items(), key=lambda one: one[0] != FIRST):
        for name in names:
            if name in parts:
                raise ValueError(f"{folder}: {name!r} is in several lists; keep it in one")
            parts[name] = "" if part in (UNITED, ONLY) else part
    return parts


def _read_names(path: Path) -> list[str]:
    return [line.strip().strip('"') for line in read_lines(path) if line.strip()]


def draw_voc(classes: VocClasses, image: LabelledImage) -> Labels:
    """Reads the PNGs of an image and finds their regions.

    Raises:
        ValueError: a file is damaged, of another size, or has an unknown number or colour; it is
            named.
    """
    files: VocFiles = image.labels
    size, semantic = read_size(files.image), _read_classes(files.classes, classes)
    instances = np.zeros_like(semantic) if files.objects is None else _read_objects(files.objects)
    for path, shape in ((files.image, size), (files.objects, instances.shape)):
        if shape != semantic.shape:
            raise ValueError(
                f"{files.classes} has (height, width) {semantic.shape}, {path} has {shape}"
                " (upright, as its EXIF rotation says)"
            )
    things = [i for i, _, is_thing in classes.categories.rows() if is_thing]
    semantic[(instances == NOBODY) & np.isin(semantic, things)] = NOBODY
    instances[instances == NOBODY] = 0
    try:
        regions = find_regions(semantic, instances, classes.categories, (NOBODY,))
    except ValueError as error:
        raise ValueError(f"{files.classes}: {error}") from error
    return Labels(size, regions, void=semantic == NOBODY)


def _read_classes(path: Path, classes: VocClasses) -> np.ndarray:
    """Reads (H, W) category ids, NOBODY where void.

    Raises:
        ValueError: it has a colour that is no class, or none.
    """
    values, mode, palette = _read_png(path)
    if mode == "P" and classes.is_mapped:
        if values.max() >= len(palette):
            raise ValueError(f"{path}: its palette lacks the colour of {values.max()}: restore it")
        values = decode_ids(palette[values])
    elif mode != "RGB":
        return np.where(values == VOID, NOBODY, values)
    present, position = np.unique(values, return_inverse=True)
    colors = [tuple(color) for color in encode_ids(present[None])[0].tolist()]
    if strangers := [color for color in colors if color not in classes.colors]:
        raise ValueError(
            f"{path} has the colours {strangers[:5]}, which are no classes; list them in "
            "labelmap.txt, name:red,green,blue::"
        )
    ids = np.array([classes.colors[color] for color in colors], np.int32)
    return np.where(ids == VOID, NOBODY, ids)[position].reshape(values.shape)


def _read_objects(path: Path) -> np.ndarray:
    """Reads (H, W) numbers of objects, NOBODY where void; colours count as numbers."""
    values, mode, _ = _read_png(path)
    void = decode_ids(np.array(voc_color(VOID), np.uint8)) if mode == "RGB" else VOID
    return np.where(values == void, NOBODY, values)


def _read_png(path: Path) -> tuple[np.ndarray, str, np.ndarray]:
    """Reads (H, W) values, the mode of the file and its (N, 3) palette."""
    values = read_values(path)
    with Image.open(path) as image:
        palette = np.array(image.getpalette() or [0, 0, 0], np.uint8).reshape(-1, 3)
        return values, image.mode, palette
