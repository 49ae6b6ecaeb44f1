"""A mask per object: files of one object each enter, regions leave.

As in the 2018 Data Science Bowl, ID/images/a.png and ID/masks/*.png below one folder; or images and
masks in two folders, IMAGES/NAME.jpg and MASKS/NAME/*.png. Where masks lie one folder deeper,
MASKS/NAME/CLASS/*.png, it names their class.

A mask has two values, 0 and that of the object. Between them may be the soft edge of a mask that
was scaled: a pixel belongs to the object above half of the largest value. Of colours the brightest
channel counts, of palettes the number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.data.convert.label_values import PLAIN_MODES, match_by_name, read_pixels
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source, read_size
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, UNREADABLE, find_files

IMAGES, MASKS = "images", "masks"
"""Folders of each image in the layout of the Data Science Bowl."""
EMPTY = "masks without a pixel"


@dataclass(frozen=True)
class MaskedImage:
    """An image file and the files of its objects, each with the id of its class."""

    path: Path
    masks: Sequence[tuple[Path, int]]


def find_masks(images: Path, masks: Path | None = None, class_name: str | None = None) -> Source:
    """Finds images and their masks.

    Args:
        images: folder of the images; or, without `masks`, of folders as in the Data Science Bowl.
        masks: folder of the folders of masks.
        class_name: class of the masks that lie in no folder of a class.

    Raises:
        ValueError: images and masks do not match, or the class of a mask is unknown.
    """
    if masks is None:
        files = _find_bowl(images)
        folders = {path.parents[1] / MASKS: name for name, path in files.items()}
    else:
        files = match_by_name(images, IMAGE_SUFFIXES)
        folders = {masks / name: name for name in files}
    _require_masks(files, folders)
    named = {name: [] for name in files}
    for path, name, class_of in _assign(masks or images, folders, class_name, masks is None):
        named[name].append((path, class_of))
    classes = sorted({class_of for listed in named.values() for _, class_of in listed})
    if not classes:
        raise ValueError(f"{masks or images} holds no mask of an object")
    rows = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(classes, start=1)]
    found = []
    for name, path in files.items():
        listed = [(mask, classes.index(class_of) + 1) for mask, class_of in named[name]]
        places = (path, *(mask for mask, _ in listed))
        file_name = path.relative_to(images).as_posix()
        found.append(LabelledImage(name, file_name, MaskedImage(path, listed), places))
    return Source(images, Categories.from_json(rows), found, draw_masks)


def _require_masks(files: Mapping[str, Path], folders: Mapping[Path, str]) -> None:
    for folder, name in folders.items():
        if not folder.is_dir():
            raise ValueError(
                f"{files[name]} has no folder of masks {folder}: if it shows no object, make an "
                "empty one"
            )


def _find_bowl(root: Path) -> dict[str, Path]:
    """Finds the images of the Data Science Bowl's layout by the names of their folders.

    Raises:
        ValueError: there are none, or several in one folder.
    """
    found: dict[str, Path] = {}
    for path in find_files([root], IMAGE_SUFFIXES):
        name = path.parent.parent.relative_to(root).as_posix() if path.parent != root else "."
        if path.parent.name != IMAGES or name == ".":
            continue
        if name in found:
            raise ValueError(f"{found[name]} and {path} are two images of the same masks")
        found[name] = path
    if not found:
        raise ValueError(
            f"{root} holds no ID/{IMAGES}/*.png; if images and masks lie in two folders, name both "
            "with --images and --masks"
        )
    return found


def _assign(
    root: Path, folders: Mapping[Path, str], class_name: str | None, is_mixed: bool
) -> Iterator[tuple[Path, str, str]]:
    """Yields the masks below a folder, each with the name of its image and its class.

    Args:
        root: of the masks.
        folders: name of the image by its folder of masks.
        class_name: of masks without a folder of a class.
        is_mixed: whether other files lie there, too.

    Raises:
        ValueError: a mask belongs to no image or has no class.
    """
    for path in find_files([root], IMAGE_SUFFIXES):
        folder, above = path.parent, path.parent.parent
        if folder in folders and class_name is not None:
            yield path, folders[folder], class_name
        elif folder in folders:
            raise ValueError(
                f"{path}: no folder says its class; name the class of all with --class"
            )
        elif above in folders:
            yield path, folders[above], folder.name
        elif not is_mixed or MASKS in (folder.name, above.name):
            raise ValueError(f"{path} belongs to no image: its folder has the name of none")


def draw_masks(image: LabelledImage) -> Labels:
    """Reads the masks of an image.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: one is damaged, of another size, or no mask; it is named.
    """
    one: MaskedImage = image.labels
    size, regions, empty = read_size(one.path), [], 0
    for path, category_id in one.masks:
        mask = read_mask(path)
        if mask.shape != size:
            raise ValueError(
                f"{path} has (height, width) {mask.shape}, {one.path} has {size} (upright, as its "
                "EXIF rotation says)"
            )
        region = Region.of(category_id, mask)
        empty += not region.mask.size
        regions += [region] if region.mask.size else []
    return Labels(size, regions, {EMPTY: empty} if empty else {})


def read_mask(path: Path) -> np.ndarray:
    """Reads the mask of one object, (H, W) bool (see the top of this file).

    Raises:
        ValueError: it is damaged, partly transparent, or marks several objects; it is named.
    """
    try:
        with Image.open(path) as image:
            is_plain, bands = image.mode in PLAIN_MODES, image.getbands()
            pixels = read_pixels(image)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it") from error
    if "A" in bands:
        if pixels[..., -1].min() != pixels[..., -1].max():
            raise ValueError(f"{path} is partly transparent: save it without transparency")
        pixels = pixels[..., :-1]
    values = pixels if is_plain else pixels.reshape(*pixels.shape[:2], -1).max(2)  # (H, W)
    largest = int(values.max())
    is_between = (values > 0) & (values < largest)
    if is_between.any() and (areas := values[is_between & _is_flat(values)]).size:
        raise ValueError(
            f"{path} has areas of the value {areas[0]} beside its largest, {largest}: a mask has "
            "one object, 0 elsewhere; numbers of objects in one PNG are for convert.py pngs"
        )
    return values > largest / 2


def _is_flat(values: np.ndarray) -> np.ndarray:
    """Says of each pixel, (H, W), whether it and its neighbours have one value; edges do not."""
    return ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)
