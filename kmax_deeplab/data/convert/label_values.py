"""Label images of others: PNGs of class values or instance ids enter, integer maps leave."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.images import (
    UNREADABLE,
    find_files,
    require_one,
    require_pixels,
    turn_upright,
)
from kmax_deeplab.data.format.pngs import decode_ids

PLAIN_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Modes of PIL with one number a pixel; of a palette image the numbers count, not the colours."""


def read_values(path: str | Path) -> np.ndarray:
    """Reads a label image: one number a pixel, or RGB colours that stand for R + 256 G + 65536 B.

    Returns:
        (H, W) int32.

    Raises:
        ValueError: the file is damaged, holds several pictures or other channels; it is named.
    """
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, read_pixels(image)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it") from error
    if mode == "RGB":
        return decode_ids(pixels)
    if mode not in PLAIN_MODES:
        raise ValueError(
            f"{path} has mode {mode}; a label image has one of {[*PLAIN_MODES, 'RGB']}"
        )
    return pixels.astype(np.int32)


def read_pixels(image: Image.Image) -> np.ndarray:
    """Decodes an opened label image as (H, W) or (H, W, C), upright.

    Raises:
        UnusableImageError: it is too large, or holds several pictures, of which one alone counts.
    """
    require_pixels(image)
    require_one(image)
    return np.asarray(turn_upright(image))


def match_by_name(folder: Path, suffixes: Iterable[str], ending: str = "") -> dict[str, Path]:
    """Finds the files of a folder by what names their image: path below it without the ending.

    Args:
        folder: searched with its subfolders.
        suffixes: of the files to look at, in lower case.
        ending: what the names have before the suffix and images' names have not, "_labels".

    Returns:
        Path by name, "part/0001", in order.

    Raises:
        ValueError: there is no such folder or file, or two files have one name.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: this folder does not exist")
    found: dict[str, Path] = {}
    for path in find_files([folder], suffixes):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if not name.endswith(ending):
            continue
        name = name.removesuffix(ending)
        if name in found:
            raise ValueError(f"{found[name]} and {path} have one name: rename one of them")
        found[name] = path
    if not found:
        raise ValueError(f"{folder} holds no file *{ending} with a suffix of {sorted(suffixes)}")
    return found
