"""Label Studio's JSON export: tasks enter, regions leave.

Brush and bitmask labels, polygons and ellipses are regions; rectangles, key points and what belongs
to no place are dropped and counted. Coordinates are of the image as it is stored upright, however
it was turned while somebody drew. All classes are things. Of several annotations of an image one
counts: those marked as ground truth come first, then the one changed last; cancelled ones never do.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kmax_deeplab.data.convert.image_folder import ImageFolder
from kmax_deeplab.data.convert.label_studio_masks import decode_bitmask, decode_brush
from kmax_deeplab.data.convert.label_studio_regions import Annotation, read_annotation
from kmax_deeplab.data.convert.label_studio_tasks import (
    choose_annotation,
    find_place,
    list_places,
    read_tasks,
)
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.convert.outlines import draw_ellipse, draw_polygon
from kmax_deeplab.data.format.categories import Categories


def find_label_studio(
    path: Path,
    folder: Path,
    names: Sequence[str] | None = None,
    field: str | None = None,
) -> Source:
    """Finds the labelled images of an export.

    Args:
        path: of the JSON.
        folder: of the images.
        names: the classes in their order; None: those that occur, by name.
        field: of a task's data that names the image; None: the one that does.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: the JSON is another one, or an image or a class is unclear; the task is named.
    """
    images, found, skipped = ImageFolder(folder), [], 0
    for number, task in enumerate(read_tasks(path)):
        name = f"{path}: task {task.get('id', f'number {number}')}"
        annotation, others = choose_annotation(task["annotations"])
        if annotation is None:
            skipped += 1
            continue
        image = images.find(list_places(find_place(task, field, name)), name)
        labels = read_annotation(annotation, name, image, others)
        file_name = image.relative_to(folder)
        image_id = file_name.with_suffix("").as_posix()
        found.append(LabelledImage(image_id, file_name.as_posix(), labels, (path, image)))
    categories = _name_classes(path, found, names)
    ids = dict(zip(categories.names, categories.ids, strict=True))
    notes = [f"Left out {skipped} tasks: nobody labelled them, or whoever did cancelled."]
    return Source(folder, categories, found, partial(draw_task, ids), notes if skipped else ())


def _name_classes(
    path: Path, images: Sequence[LabelledImage], names: Sequence[str] | None
) -> Categories:
    used = sorted({outline.label for image in images for outline in image.labels.outlines})
    if names is not None and (strangers := sorted(set(used) - set(names))):
        raise ValueError(f"{path} has the classes {strangers}, which --labels does not list")
    if not (listed := used if names is None else names):
        raise ValueError(f"{path}: no region of a class; is it the export of a labelled project?")
    return Categories.from_json(
        [{"id": number, "name": name, "isthing": 1} for number, name in enumerate(listed, start=1)]
    )


def draw_task(ids: Mapping[str, int], image: LabelledImage) -> Labels:
    """Draws the regions of a task.

    Args:
        ids: category id of each class.
        image: of `find_label_studio`.

    Raises:
        FileNotFoundError: the image does not exist.
        ValueError: it has another size than when it was labelled, or a region is damaged.
    """
    task: Annotation = image.labels
    size, regions, dropped = read_size(task.image), [], Counter(task.dropped)
    for outline in task.outlines:
        if outline.size not in (None, size):
            raise ValueError(
                f"{outline.name}: drawn on an image of (height, width) {outline.size}, but "
                f"{task.image} has {size}: put the image that was labelled there"
            )
        try:
            mask = DRAW[outline.kind](outline.value, size)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{outline.name}: this {outline.kind} is damaged: {error}") from error
        if mask.any():
            regions.append(Region.of(ids[outline.label], mask))
        else:
            dropped[f"{outline.kind} without a pixel"] += 1
    return Labels(size, regions, dropped, task.notes)


def _draw_polygon(value: Mapping, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return draw_polygon([(x * width / 100, y * height / 100) for x, y in value["points"]], size)


def _draw_ellipse(value: Mapping, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    center = value["x"] * width / 100, value["y"] * height / 100
    radii = value["radiusX"] * width / 100, value["radiusY"] * height / 100
    return draw_ellipse(center, radii, size, value.get("rotation", 0))


DRAW: Mapping[str, Callable[[Mapping, tuple[int, int]], np.ndarray]] = {
    "brush": lambda value, size: decode_brush(value["rle"], size),
    "bitmask": lambda value, size: decode_bitmask(value["imageDataURL"], size),
    "polygon": _draw_polygon,
    "ellipse": _draw_ellipse,
}
"""By the kind of region."""
