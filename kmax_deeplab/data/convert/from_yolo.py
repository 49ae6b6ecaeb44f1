"""YOLO segmentation: a data.yaml, images and text files of outlines enter, regions leave.

Beside images/part/a.jpg lies labels/part/a.txt, with a line "class x y x y x y …" for each object:
the number of its class and the corners of its outline, as shares of the image's width and height.
Outlines are drawn as COCO's own tool draws polygons: what an outline runs around twice is a hole,
and a line there and back, which joins several parts, covers nothing. An image without a label file
shows no object.
"""

import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kmax_deeplab.data.convert.labels import (
    LabelledImage,
    Labels,
    Region,
    Source,
    read_lines,
    read_size,
)
from kmax_deeplab.data.convert.outlines import draw_polygon
from kmax_deeplab.data.convert.yolo_data import NAMES, read_yolo_data
from kmax_deeplab.data.format.categories import Categories

BOX = 5
"""Numbers of a line that is a box: class, centre, width, height."""
MARGIN = 0.01
"""Share of the image by which a corner may lie outside: rounding, and hasty hands."""
THIN, EMPTY = "outlines of fewer than three corners", "outlines without a pixel"
UNLABELLED = "Images without a label file, which show no object"


def find_yolo(place: Path) -> Source:
    """Finds images and their label files.

    Args:
        place: data.yaml; or a folder that holds it, or classes.txt, images/ and labels/.

    Raises:
        FileNotFoundError: what the YAML names does not exist.
        ValueError: the YAML cannot be, an image is in two parts, or no image has a label file.
    """
    data = read_yolo_data(place)
    parts: dict[Path, str] = {}
    for part, paths in data.images.items():
        for path in paths:
            if path in parts:
                raise ValueError(f"{place}: {path} is in {parts[path]} and {part}; keep it in one")
            parts[path] = part
    labels = {path: label_file(path) for path in parts}
    if not any(label.is_file() for label in labels.values()):
        first = next(iter(labels.values()))
        raise ValueError(f"{place}: no image has a label file; the first would have {first}")
    folder = Path(os.path.commonpath([path.parent for path in parts]))
    found = []
    for path, part in parts.items():
        name = path.relative_to(folder)
        image_id, files = name.with_suffix("").as_posix(), (path, labels[path])
        found.append(LabelledImage(image_id, name.as_posix(), files, files, part))
    rows = [{"id": i, "name": name, "isthing": 1} for i, name in data.names.items()]
    categories = Categories.from_json(rows)
    notes = [*data.notes, *_name_strays(set(labels.values()))]
    return Source(folder, categories, found, partial(draw_yolo, categories.ids), notes)


def label_file(image: Path) -> Path:
    """Returns where the labels of an image lie: "labels" for the last "images" of its path."""
    parts = list(image.with_suffix(".txt").parts)
    for position in reversed(range(len(parts) - 1)):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts)


def _name_strays(expected: set[Path]) -> list[str]:
    """Tells of label files of no image."""
    folders = sorted({path.parent for path in expected if "labels" in path.parts})
    strays = [
        path
        for folder in folders
        for path in sorted(folder.glob("*.txt"))
        if path not in expected and path.name != NAMES
    ]
    return [f"{len(strays)} label files belong to no image, {strays[0]} first."] if strays else []


def draw_yolo(classes: Sequence[int], image: LabelledImage) -> Labels:
    """Draws the outlines of an image.

    Args:
        classes: numbers that a line may begin with.
        image: its labels are the image file and the label file.

    Raises:
        FileNotFoundError: there is no such image.
        ValueError: the image cannot be used, or a line cannot be; file and line are named.
    """
    path, label = image.labels
    size, regions, dropped = read_size(path), [], {}
    if not label.is_file():
        return Labels(size, [], notes={UNLABELLED: 1})
    for number, line in enumerate(read_lines(label), start=1):
        if not line.strip():
            continue
        try:
            category_id, corners = read_line(line, classes)
        except ValueError as error:
            raise ValueError(f"{label}: line {number}: {error}") from error
        region = Region.of(category_id, _draw(corners, size))
        if region.mask.size:
            regions.append(region)
        else:
            reason = THIN if len(corners) < 3 else EMPTY
            dropped[reason] = dropped.get(reason, 0) + 1
    return Labels(size, regions, dropped)


def _draw(corners: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return draw_polygon([(x * width, y * height) for x, y in corners], size)


def read_line(line: str, classes: Sequence[int]) -> tuple[int, list[tuple[float, float]]]:
    """Reads the class of an object and the corners of its outline, (x, y) as shares of the image.

    Raises:
        ValueError: it has no numbers or another count of them, is a box, or names no class.
    """
    try:
        number, *shares = map(float, line.split())
    except ValueError:
        raise ValueError(f"{line[:60]!r} does not consist of numbers") from None
    if len(shares) == BOX - 1:
        raise ValueError(
            "is a box (5 numbers), and a box has no outline: export YOLO *segmentation* (polygons)"
        )
    if len(shares) % 2:
        raise ValueError(f"has {len(shares) + 1} numbers; it takes a class and pairs x y")
    if number not in classes:
        raise ValueError(f"has the class {number:g}; the classes are {list(classes)[:40]}")
    for share in shares:
        if not -MARGIN <= share <= 1 + MARGIN or math.isnan(share):
            raise ValueError(f"has the coordinate {share:g}; they are shares of the image, 0 to 1")
    return int(number), list(zip(shares[::2], shares[1::2], strict=True))
