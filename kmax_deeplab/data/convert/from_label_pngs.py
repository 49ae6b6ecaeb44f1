"""Semantic and instance PNGs: folders enter, regions leave.

Each pair of class and instance id becomes a region. Pixels whose instance id is 0 are not told
apart: of a thing class they are a crowd, which training and evaluation ignore. Whether a class is a
thing is asked later (`stacking`), so that one of stuff may still become one. Regions are in the
order of the table, within a class its crowd, then its instances by id. Of classes whose objects
nobody numbered, each component is one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from kmax_deeplab.data.convert.components import count_touching, number_components
from kmax_deeplab.data.convert.label_folders import (
    LABEL_SUFFIXES,
    LabelFolders,
    LabelledFile,
    match_folders,
)
from kmax_deeplab.data.convert.label_values import match_by_name, read_values
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.format.categories import Categories

BACKGROUND = "background"
"""The class of 0 in masks that nobody wrote a table for."""
TOUCHING = "Components of {} that fall apart into several cores, probably objects that touch"
"""What is counted of them."""


def find_label_pngs(
    folders: LabelFolders,
    categories: Categories,
    ignore: Sequence[int],
    *,
    sure: bool = True,
    components: Sequence[str] = (),
) -> Source:
    """Finds images and their label images.

    Args:
        folders: where they lie.
        categories: their ids are the values of the semantic PNGs.
        ignore: values that mean unlabelled.
        sure: whether somebody said so; where it is assumed, the values must not look like a mask.
        components: names of classes whose objects are the components of their pixels; they become
            things.

    Raises:
        ValueError: see `match_folders` and `require_classes`; or a component is no class.
    """
    categories = make_things(categories, components)
    numbered = tuple(i for i, name, _ in categories.rows() if name in components)
    files = match_folders(folders, categories, numbered)
    if not sure:
        require_classes((file.semantic for file in files), ignore)
    images = [
        LabelledImage(
            file.name,
            file.image.relative_to(folders.images).as_posix(),
            file,
            tuple(path for path in (file.image, file.semantic, file.instances) if path),
        )
        for file in files
    ]
    draw = partial(draw_file, categories, tuple(ignore), numbered)
    return Source(folders.images, categories, images, draw)


def make_things(categories: Categories, components: Sequence[str]) -> Categories:
    """Makes things of the classes whose objects are components.

    Raises:
        ValueError: a name is that of no class.
    """
    if strangers := sorted(set(components) - set(categories.names)):
        raise ValueError(f"--components {strangers}: the classes are {list(categories.names[:40])}")
    rows = zip(categories.names, categories.is_thing, strict=True)
    return replace(
        categories, is_thing=tuple(is_thing or name in components for name, is_thing in rows)
    )


def require_classes(paths: Iterable[Path], ignore: Sequence[int]) -> None:
    """Refuses label images whose unlabelled pixels are probably a class, as in masks of 0 and 255.

    Looks until two values are found that are not ignored.

    Raises:
        ValueError: beside ignored values there is but one.
    """
    seen: set[int] = set()
    for path in paths:
        seen |= set(np.unique(read_values(path)).tolist())
        if len(seen - set(ignore)) > 1:
            return
    if seen & set(ignore):
        raise ValueError(
            f"the semantic PNGs hold the values {sorted(seen)} alone, of which {list(ignore)} is "
            "taken as unlabelled: list it among the classes, or, if it is unlabelled indeed, say "
            f"so with --ignore {' '.join(map(str, ignore))}"
        )


def find_mask_class(folders: LabelFolders, name: str) -> Categories:
    """Returns the classes of masks that hold one value beside 0: stuff called background, and it.

    Args:
        folders: where the masks lie, as semantic PNGs.
        name: of the class; its id is its value, which the first mask that has one tells.

    Raises:
        ValueError: a mask has several values, or all are empty; the message names them.
    """
    masks = match_by_name(folders.semantic, LABEL_SUFFIXES, folders.semantic_ending)
    for path in masks.values():
        values = [value for value in np.unique(read_values(path)).tolist() if value]
        if len(values) > 1:
            raise ValueError(
                f"{path} has the values {values[:10]} beside 0, a mask of {name!r} has one: "
                "say with --classes what they mean"
            )
        if values:
            rows = ((0, BACKGROUND, 0), (values[0], name, 1))
            fields = ("id", "name", "isthing")
            return Categories.from_json([dict(zip(fields, row, strict=True)) for row in rows])
    raise ValueError(f"{folders.semantic}: no mask there has a pixel that is not 0")


def draw_file(
    categories: Categories, ignore: Sequence[int], components: Sequence[int], image: LabelledImage
) -> Labels:
    """Reads the label images of an image and finds their regions.

    Args:
        categories: their ids are the values of the semantic PNGs.
        ignore: values that mean unlabelled.
        components: ids of the classes whose objects are components.
        image: a `LabelledFile` and its name.

    Raises:
        ValueError: a file is damaged, of another size, or has an unknown value; it is named.
    """
    file: LabelledFile = image.labels
    semantic = read_values(file.semantic)
    instances = np.zeros_like(semantic) if file.instances is None else read_values(file.instances)
    size = read_size(file.image)
    for path, shape in ((file.image, size), (file.instances, instances.shape)):
        if shape != semantic.shape:
            raise ValueError(
                f"{file.semantic} has (height, width) {semantic.shape}, {path} has {shape}"
                " (upright, as its EXIF rotation says)"
            )
    instances, notes = _number_objects(semantic, instances, categories, components)
    void = np.isin(semantic, ignore)
    try:
        return Labels(
            size, find_regions(semantic, instances, categories, ignore), notes=notes, void=void
        )
    except ValueError as error:
        raise ValueError(f"{file.semantic}: {error}") from error


def _number_objects(
    semantic: np.ndarray, instances: np.ndarray, categories: Categories, components: Sequence[int]
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns instance ids with those of components, and how many of these probably touch."""
    notes = {}
    for category_id in components:
        numbers, count = number_components(semantic == category_id)
        instances = np.where(numbers > 0, numbers, instances)
        if touching := count_touching(numbers, count):
            name = categories.names[categories.contiguous[category_id]]
            notes[TOUCHING.format(name)] = touching
    return instances, notes


def find_regions(
    semantic: np.ndarray, instances: np.ndarray, categories: Categories, ignore: Sequence[int] = ()
) -> list[Region]:
    """Turns class values and instance ids into regions (see the top of this file).

    Args:
        semantic: (H, W) integer class values.
        instances: (H, W) integer instance ids, 0 where objects are not told apart.
        categories: their ids are the class values.
        ignore: values that mean unlabelled.

    Raises:
        ValueError: a value is neither a class nor ignored, or an instance id is negative.
    """
    values, position = np.unique(semantic, return_inverse=True)
    if unknown := sorted(set(values.tolist()) - set(categories.ids) - set(ignore)):
        raise ValueError(
            f"has the values {unknown[:10]}, which are no classes; list them in the table of "
            f"classes or name them with --ignore (ignored now: {sorted(ignore)})"
        )
    if instances.min(initial=0) < 0:
        raise ValueError(f"its instance ids start at {instances.min()}; they must not be negative")
    ignored = [-1 if value in ignore else categories.contiguous[value] for value in values.tolist()]
    classes = np.array(ignored)[position].reshape(semantic.shape)  # (H, W), -1 where ignored
    keys = instances + classes.astype(np.int64) * 2**32
    found, numbers = np.unique(np.where(classes < 0, -1, keys), return_inverse=True)
    numbers = numbers.reshape(semantic.shape)  # (H, W), positions in `found`
    regions = []
    for number, (key, box) in enumerate(
        zip(found.tolist(), ndimage.find_objects(numbers + 1), strict=True)
    ):
        if key < 0:
            continue
        index, instance = divmod(key, 2**32)
        mask, (rows, columns) = numbers[box] == number, box
        crowd = instance == 0
        regions.append(Region(categories.ids[index], mask, rows.start, columns.start, crowd))
    return regions
