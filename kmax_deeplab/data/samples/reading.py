"""The files of a labelled image: reading them and catching what is wrong with them.

What enters: a record of a panoptic dataset. What leaves: its image, opened but not yet decoded, and
its labels, or both together as a `LabelledImage` of the files' size.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.images import (
    MAX_PIXELS,
    UNREADABLE,
    UnusableImageError,
    identify,
    require_usable,
    turn_upright,
)
from kmax_deeplab.data.format.pngs import DamagedPngError, read_ids
from kmax_deeplab.data.format.zips import open_file
from kmax_deeplab.data.samples.segments import (
    LabelledImage,
    Labels,
    label_segments,
    require_size,
)

MISSING = (
    "is missing, but the dataset's JSON lists it: restore it or correct the folders in "
    "DATASETS.PANOPTIC"
)


class UnreadableImageError(OSError):
    """An image file is there but damaged or unusable; training can go on without it."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}" if self.filename else super().__str__()


def read_labelled(record: Mapping) -> LabelledImage:
    """Reads the image and the panoptic PNG of a record.

    Raises:
        ValueError: sizes or segment ids of image, PNG and record differ.
    """
    with open_labelled(record) as (image, labels):
        pixels = np.asarray(image.convert("RGB"))
    return LabelledImage(pixels, labels.segment_map, labels.segments)


@contextmanager
def open_labelled(record: Mapping) -> Iterator[tuple[Image.Image, Labels]]:
    """Opens the image of a record, which need not be decoded yet, and reads its labels.

    Raises:
        FileNotFoundError: a file is missing.
        UnreadableImageError: one is damaged, or of a kind that is not looked at.
        ValueError: sizes or segment ids of image, PNG and record differ.
    """
    with open_image(record["file_name"]) as image:
        yield image, read_labels(record, image.size[::-1])


def read_labels(record: Mapping, size: tuple[int, int]) -> Labels:
    """Reads the panoptic PNG of a record.

    Args:
        record: names the files, the segments and possibly the size.
        size: (H, W) of the image, upright.

    Raises:
        FileNotFoundError: there is no such PNG.
        UnreadableImageError: the PNG is damaged.
        ValueError: the PNG has no RGB colours, or sizes or segment ids of image, PNG and record
            differ.
    """
    image_file, png_file = record["file_name"], record["pan_seg_file_name"]
    try:
        ids = read_ids(png_file)
    except DamagedPngError as error:
        reason = str(error).removeprefix(f"{png_file} ")
        raise UnreadableImageError(0, reason, png_file) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{png_file} {MISSING}") from error
    require_size(png_file, ids.shape, size)
    require_described(record, ids.shape)
    try:
        return label_segments(ids, record["segments_info"])
    except ValueError as error:
        raise ValueError(f"{png_file} (of {image_file}): {error}") from error


def require_described(record: Mapping, size: tuple[int, int]) -> None:
    """Refuses a file of another (H, W) than its record describes.

    Raises:
        ValueError: naming the file.
    """
    described = record.get("height", size[0]), record.get("width", size[1])
    if described != tuple(size):
        raise ValueError(
            f"{record['file_name']} is {size[0]} pixels high and {size[1]} wide (EXIF rotation "
            f"applied), the dataset's JSON says {described[0]} and {described[1]}: correct it"
        )


def read_image(path: str | Path, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads an image of at most so many pixels, upright, as (H, W, 3) uint8.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file is damaged.
    """
    with open_image(path, most_pixels) as image:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


@contextmanager
def open_image(path: str | Path, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image, upright, of which only the size needs to be read.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file is damaged, as noticed here or where it is decoded, or of a
            kind that is not looked at (see `data.format.images`).
    """
    try:
        file = open_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} {MISSING}") from error
    except OSError as error:
        raise UnreadableImageError(0, f"cannot be read ({error})", str(path)) from error
    with file:
        try:
            yield _open_upright(file, path, most_pixels)
        except (UnreadableImageError, FileNotFoundError):
            raise
        except (OSError, SyntaxError) as error:  # the latter is what PIL raises for broken PNGs
            raise UnreadableImageError(0, f"cannot be read ({error})", str(path)) from error


def _open_upright(file: IO[bytes], path: str | Path, most_pixels: int) -> Image.Image:
    try:
        image = identify(file)
        require_usable(image, most_pixels)
        return turn_upright(image)
    except UnusableImageError as error:
        raise UnreadableImageError(0, str(error), str(path)) from error
    except UNREADABLE as error:
        raise UnreadableImageError(0, f"cannot be read ({error})", str(path)) from error
