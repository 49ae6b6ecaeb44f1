"""What an image file must be to be looked at: an opened image enters, its size or a refusal leaves.

Images have 8 bits a channel and are seen in RGB, upright (EXIF), without their transparency. Deeper
ones are refused, not clipped or guessed at: which of their values are black and white only their
owner knows.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os.path import splitext
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, UnidentifiedImageError

from kmax_deeplab.data.format.zips import list_files, open_file
from kmax_deeplab.whole_files import PARTIAL, is_partial

MAX_PIXELS = 2**26
"""Most pixels of an image (8192 × 8192): results of that size need about 6 GiB of memory."""
MAX_TILED_PIXELS = 2**27
"""The same for one that is looked at in windows (11,585 × 11,585): about 20 bytes a pixel, with the
picture; 10,000 × 10,000 were measured to need 2.6 GiB in all."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of PIL that turn into RGB as everyone expects; "1" is black and white."""
SEVERAL = ("GIF", "PNG", "TIFF", "WEBP")
"""Formats whose further pictures are part of the content; those of others are previews."""
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What counts as an image when a folder is searched, in lower case; a JSON may list any other."""
UPRIGHT = 1
"""EXIF orientation of an image that is stored as it is meant to be seen."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of an EXIF orientation upright."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations of images whose height and width are exchanged when they are turned upright."""


UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What PIL raises for damaged files, and we for unusable ones."""


class UnusableImageError(ValueError):
    """An image file is whole, but not one that can be looked at; the message says why."""


class HugeImageError(UnusableImageError):
    """An image has more pixels than MAX_PIXELS."""


@contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Opens an image file, which may lie in a zip, as it is stored and not yet decoded.

    Raises:
        FileNotFoundError: there is no such file.
        OSError, …: one of UNREADABLE, here or where it is decoded: the file is damaged.
    """
    with open_file(path) as file:
        yield identify(file)


def identify(file: IO[bytes]) -> Image.Image:
    """Returns the image in an open file, not decoded yet.

    Raises:
        OSError, …: one of UNREADABLE: it is damaged, or no image.
    """
    try:
        return Image.open(file)
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError("no image of a known format") from error


def require_pixels(image: Image.Image, most: int | None = None) -> None:
    """Refuses an image, not decoded yet, that would take too much memory; by default MAX_PIXELS.

    Raises:
        HugeImageError: it has more pixels than `most`.
    """
    most = MAX_PIXELS if most is None else most
    width, height = image.size
    if width * height > most:
        raise HugeImageError(
            f"has {width} × {height} pixels, {width * height / 1e6:.0f} millions of them; the "
            f"limit is {most / 1e6:.0f}: make it smaller"
            + (", or look at it in tiles (--tile, INPUT.TILE_TEST)" if most == MAX_PIXELS else "")
        )


def require_usable(image: Image.Image, most_pixels: int | None = None) -> None:
    """Refuses an image, not decoded yet, that is too large or that RGB with 8 bits cannot hold.

    Args:
        image: opened.
        most_pixels: that it may have; default: MAX_PIXELS.

    Raises:
        UnusableImageError: saying what it is and what to do.
    """
    require_pixels(image, most_pixels)
    require_one(image)
    if image.mode not in MODES or _is_cut_off(image):
        depth = "16 bits a channel" if image.mode in MODES else f"mode {image.mode}"
        raise UnusableImageError(
            f"has {depth}: bring it to 8 bits a channel, grey or RGB (docs/own_data.md), here its "
            "values would be cut off"
        )


def require_one(image: Image.Image) -> None:
    """Refuses an opened file of several pictures, as pages of a TIFF.

    Raises:
        UnusableImageError: saying how many there are.
    """
    pictures = getattr(image, "n_frames", 1) if image.format in SEVERAL else 1
    if pictures > 1:
        raise UnusableImageError(f"holds {pictures} pictures: store the one you mean by itself")


def read_orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation of an opened image."""
    return image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)


def turn_upright(image: Image.Image) -> Image.Image:
    """Returns an image as it is meant to be seen; one that is upright stays undecoded."""
    turn = TURNS.get(read_orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Returns (height, width) in pixels as the image is meant to be seen."""
    size = image.size[::-1]
    return size[::-1] if read_orientation(image) in SIDEWAYS else size


def _is_cut_off(image: Image.Image) -> bool:
    """Returns whether PIL would keep the upper 8 of 16 bits a channel, without a word."""
    return any(";16" in str(tile) for tile in image.tile)


def find_files(folders: Iterable[str | Path], suffixes: Iterable[str]) -> Iterator[Path]:
    """Yields the files below folders that have one of the suffixes (lower case), in order.

    A zip, and a folder in one, counts as a folder.

    What an interrupted writer left behind is no file of anyone.
    """
    for folder in folders:
        packed = list_files(folder)
        names = _walk(str(folder)) if packed is None else packed
        found = [name for name in names if splitext(name)[1].lower() in suffixes]
        for path in map(Path, sorted(found, key=lambda name: name.split(os.sep))):
            if not is_partial(path):
                yield path


def _walk(folder: str) -> Iterator[str]:
    """Yields the files below a folder; the kernel says which they are when it lists them."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in entries:
        if entry.name.endswith(PARTIAL):
            continue  # of an interrupted `WholeFolder`, or no file that has a suffix
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_file():
            yield entry.path
