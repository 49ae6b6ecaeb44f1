"""Writers of CVAT's own export, for what is converted back: a panoptic dataset enters."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tests.data.convert.round_trip import LabelledPicture, Truth, copy_picture
from tests.data.convert.tracing import join, trace


def write_cvat(truth: Truth, folder: Path) -> list[str]:
    """Writes an XML of CVAT for images 1.1 with masks.

    Returns:
        The words that convert it.
    """
    return _write_cvat(truth, folder, "mask", encode_cvat_mask)


def write_cvat_polygons(truth: Truth, folder: Path) -> list[str]:
    """Writes an XML of CVAT for images 1.1 with polygons that follow the borders of pixels.

    Returns:
        The words that convert it.
    """

    def describe(mask: np.ndarray) -> dict[str, str]:
        return {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in join(trace(mask)))}

    return _write_cvat(truth, folder, "polygon", describe)


def _write_cvat(
    truth: Truth, folder: Path, kind: str, describe: Callable[[np.ndarray], dict[str, str]]
) -> list[str]:
    root = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels"
    )
    for row in truth.content["categories"]:
        label = ElementTree.SubElement(labels, "label")
        for tag, text in (("name", row["name"]), ("color", "#2080c0"), ("type", "any")):
            ElementTree.SubElement(label, tag).text = text
    for number, picture in enumerate(truth.pictures()):
        copy_picture(picture, folder / "images" / picture.path.stem)
        image = _add_cvat_image(root, number, picture)
        for segment, name in picture.classes.items():
            values = {"label": name, "occluded": "0", "z_order": "0"}
            ElementTree.SubElement(image, kind, values | describe(picture.ids == segment))
    ElementTree.ElementTree(root).write(folder / "annotations.xml", encoding="utf-8")
    places = [f"--xml={folder}", f"--images={folder / 'images'}"]
    return ["cvat", *places, "--things", *truth.names(1)]


def _add_cvat_image(
    root: ElementTree.Element, number: int, picture: LabelledPicture
) -> ElementTree.Element:
    height, width = picture.ids.shape
    size = {"width": str(width), "height": str(height)}
    return ElementTree.SubElement(root, "image", id=str(number), name=picture.path.name, **size)


def encode_cvat_mask(mask: np.ndarray) -> dict[str, str]:
    """Writes a mask as run lengths of its box, row by row, the first of what lies outside."""
    (top, bottom), (left, right) = (
        (found[0], found[-1] + 1) for found in (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    )
    flat = mask[top:bottom, left:right].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    text = {key: str(value) for key, value in box.items()}
    return {"rle": ", ".join(map(str, [0, *runs] if flat[0] else runs)), **text}
