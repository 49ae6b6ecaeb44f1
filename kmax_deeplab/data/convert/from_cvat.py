"""CVAT's own export, "CVAT for images 1.1": an XML enters, regions leave.

Polygons, masks and ellipses are regions; boxes, lines, points, cuboids, skeletons and tags are
dropped and counted. Shapes of one label in one group are parts of one object. A higher z_order lies
above a lower one, of things as of stuff; where it is the same, the rule of `stacking` decides. All
labels are things, in the order and with the colours of the export; a shape whose attribute
"is_crowd" is true is a crowd. Subsets of a project are the parts of the dataset.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from kmax_deeplab.data.convert.cvat_shapes import Shape, draw_shape
from kmax_deeplab.data.convert.image_folder import ImageFolder
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.format.categories import Categories

FILE = "annotations.xml"
"""What CVAT calls the file in its archive."""
NO_REGIONS = ("box", "cuboid", "points", "polyline", "skeleton", "tag")
"""Shapes that outline no object."""
TYPES = ("any", "ellipse", "mask", "polygon")
"""Types of labels whose shapes may be regions."""
COLOR = re.compile("#[0-9A-Fa-f]{6}")
PARTS = {"training": "train", "validation": "val"}
"""Parts of a dataset by names of subsets, where they differ by more than capitals."""
WITHOUT_SUBSET = "default"


@dataclass(frozen=True)
class ShapedImage:
    """An image of an export: its file, (height, width) in pixels, shapes, what was left out."""

    name: str
    path: Path
    size: tuple[int, int]
    shapes: Sequence[Shape]
    dropped: Mapping[str, int]


def find_cvat(path: Path, folder: Path) -> Source:
    """Finds the images of an export.

    Args:
        path: of the XML, or of the folder of the unpacked archive.
        folder: of the images.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: the XML is damaged or of another format; it is named.
    """
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this file does not exist; CVAT's archive has it")
    images, found, categories = ImageFolder(folder), [], None
    for element in read_elements(path):
        if element.tag == "meta":
            categories = read_labels(element, path)
        elif categories is None:
            raise ValueError(f"{path}: has no <meta> before its images: export it from CVAT again")
        else:
            one = _read_image(element, path, images, categories)
            file_name = one.path.relative_to(folder).as_posix()
            image_id = Path(file_name).with_suffix("").as_posix()
            part = element.get("subset", "").lower()
            files = (path, one.path)
            found.append(LabelledImage(image_id, file_name, one, files, PARTS.get(part, part)))
    if not found:
        raise ValueError(f"{path}: lists no image; export it as CVAT for images 1.1")
    ids = dict(zip(categories.names, categories.ids, strict=True))
    return Source(folder, categories, _complete_parts(found), partial(draw_shapes, ids))


def _complete_parts(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Names the part of images without a subset, where others have one; one subset is none."""
    several = len({image.part for image in images}) > 1
    return [
        replace(image, part=(image.part or WITHOUT_SUBSET) if several else "") for image in images
    ]


def read_elements(path: Path) -> Iterator[ElementTree.Element]:
    """Yields the element of what the labels are, then those of the images, one at a time.

    Raises:
        ValueError: it is no XML of CVAT, or one of a video.
    """
    try:
        events = ElementTree.iterparse(path, events=("start", "end"))
        _, root = next(events)
        if root.tag != "annotations":
            raise ValueError(f"{path}: begins with <{root.tag}>, CVAT's own with <annotations>")
        for event, element in events:
            if element.tag == "track":
                raise ValueError(
                    f"{path}: holds tracks of a video: export it as CVAT for images 1.1"
                )
            if event == "end" and element.tag in ("meta", "image"):
                yield element
                root.clear()
    except (ElementTree.ParseError, LookupError, StopIteration) as error:
        raise ValueError(f"{path}: no whole XML ({error}); export it again") from error


def read_labels(meta: ElementTree.Element, path: Path) -> Categories:
    """Reads the labels whose shapes may be regions.

    Raises:
        ValueError: there is none; the file is named.
    """
    listed = [
        label
        for label in meta.iter("label")
        if label.find("parent") is None and label.findtext("type", "any") in TYPES
    ]
    if not listed:
        raise ValueError(f"{path}: has no label for polygons, masks or ellipses")
    entries = [
        {"id": number, "name": label.findtext("name"), "isthing": 1}
        | _read_color(label.findtext("color"))
        for number, label in enumerate(listed, start=1)
    ]
    try:
        return Categories.from_json(entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_color(text: str | None) -> dict:
    """Reads "#2080c0"."""
    return {"color": list(bytes.fromhex(text[1:]))} if text and COLOR.fullmatch(text) else {}


def _read_image(
    element: ElementTree.Element, path: Path, images: ImageFolder, categories: Categories
) -> ShapedImage:
    name, subset = element.get("name", ""), element.get("subset", "")
    where = f"{path}: image {name!r}"
    places = [name, f"{subset}/{name}"] if subset else [name]
    try:
        size = int(element.get("height")), int(element.get("width"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} has no width and height: export it again") from error
    shapes, dropped = [], Counter()
    for shape in element:
        label = shape.get("label", "")
        if shape.tag in NO_REGIONS:
            dropped[f"{shape.tag}, which outlines no object"] += 1
        elif label not in categories.names:
            raise ValueError(f"{where}: a {shape.tag} has the label {label!r}, which is not listed")
        else:
            shapes.append(_read_shape(shape, label, f"{where}, {shape.tag} {len(shapes)}"))
    return ShapedImage(where, images.find(places, where), size, shapes, dropped)


def _read_shape(element: ElementTree.Element, label: str, name: str) -> Shape:
    crowd = element.findtext("attribute[@name='is_crowd']", "").strip().lower() in ("1", "true")
    try:
        group, layer = (int(element.get(field, "0")) for field in ("group_id", "z_order"))
    except ValueError as error:
        raise ValueError(f"{name}: its group_id and z_order must be numbers ({error})") from error
    return Shape(element.tag, label, dict(element.attrib), crowd, group, layer)


def draw_shapes(ids: Mapping[str, int], image: LabelledImage) -> Labels:
    """Draws the shapes of an image.

    Args:
        ids: category id of each label.
        image: of `find_cvat`.

    Raises:
        FileNotFoundError: the image does not exist.
        ValueError: it has another size than in CVAT, or a shape is damaged; it is named.
    """
    one: ShapedImage = image.labels
    if (size := read_size(one.path)) != one.size:
        raise ValueError(
            f"{one.name} has (height, width) {one.size}, but {one.path} has {size}: put the image "
            "that was labelled there"
        )
    dropped, joined = Counter(one.dropped), 0
    objects: dict[tuple, tuple[Shape, np.ndarray]] = {}
    for number, shape in enumerate(one.shapes):
        mask = draw_shape(shape, size, f"{one.name}, {shape.kind} {number}")
        if not mask.any():
            dropped[f"{shape.kind} without a pixel"] += 1
            continue
        key = (shape.label, shape.group) if shape.group else (number,)
        if key in objects:
            objects[key][1][mask] = True
            joined += 1
        else:
            objects[key] = shape, mask
    regions = [
        Region.of(ids[shape.label], mask, iscrowd=shape.iscrowd, layer=shape.layer)
        for shape, mask in objects.values()
    ]
    notes = {
        "Shapes that join another one of their group": joined,
        "Images with layers (z_order), which count before sizes": len({r.layer for r in regions})
        > 1,
    }
    return Labels(
        size, regions, dropped, {note: int(count) for note, count in notes.items() if count}
    )
