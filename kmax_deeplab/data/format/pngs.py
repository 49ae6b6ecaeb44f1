"""The COCO-panoptic format on disk: segment ids as the colours of a PNG, and a JSON beside them.

What enters and leaves: (H, W) maps of segment ids, 0 where void, and "annotations" that say what
the segments of an image are. Prediction folders are laid out as the official panopticapi wants.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import (
    MAX_TILED_PIXELS,
    UNREADABLE,
    UnusableImageError,
    open_picture,
    require_pixels,
)
from kmax_deeplab.whole_files import whole_file, write_json

MAX_ID = 256**3 - 1
"""Largest id that three bytes hold."""
NOTE = "kmax_deeplab"
"""Keyword of the text in a PNG that only we look at."""


class DamagedPngError(ValueError):
    """A panoptic PNG is there but cannot be decoded."""


def encode_ids(ids: np.ndarray) -> np.ndarray:
    """Writes segment ids as colours, id = R + 256 G + 65536 B.

    Args:
        ids: (H, W) integers in [0, MAX_ID].

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: an id does not fit into a colour.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() <= MAX_ID:
        raise ValueError(f"ids from {ids.min()} to {ids.max()}, but a PNG holds 0 to {MAX_ID}")
    colors = np.empty((*ids.shape, 3), np.uint8)
    for row, written in zip(ids, colors, strict=True):  # a copy of a large image is large
        for channel in range(3):
            written[:, channel] = row >> 8 * channel & 255
    return colors


def decode_ids(colors: np.ndarray) -> np.ndarray:
    """Reads segment ids from colours.

    Args:
        colors: (H, W, 3) uint8.

    Returns:
        (H, W) int32.
    """
    ids = colors[..., 2].astype(np.int32)
    for channel in (1, 0):  # in place: of a large image, each copy is hundreds of megabytes
        ids <<= 8
        ids |= colors[..., channel]
    return ids


def read_ids(path: str | Path) -> np.ndarray:
    """Reads the segment ids of a panoptic PNG, (H, W) int32.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedPngError: it cannot be decoded; the message names it.
        ValueError: it is too large or not an RGB image; the message names it.
    """
    try:
        with open_picture(path) as image:
            require_pixels(image, MAX_TILED_PIXELS)
            if image.mode not in ("RGB", "RGBA"):
                raise UnusableImageError(f"has mode {image.mode}, a panoptic PNG has RGB colours")
            return decode_ids(np.asarray(image))
    except FileNotFoundError:
        raise
    except UnusableImageError as error:
        raise ValueError(f"{path} {error}") from error
    except UNREADABLE as error:
        raise DamagedPngError(f"{path} cannot be read ({error})") from error


def write_ids(path: str | Path, ids: np.ndarray, note: str | None = None) -> None:
    """Writes segment ids, (H, W) integers, as a panoptic PNG; makes the folders it lies in.

    Args:
        note: a text to go with them, ASCII, which other programs do not mind.
    """
    info = PngInfo()
    if note is not None:
        info.add_text(NOTE, note)
    with whole_file(path) as partial:
        Image.fromarray(encode_ids(ids)).save(partial, format="PNG", pnginfo=info)


def read_note(path: str | Path) -> str | None:
    """Reads the note of a panoptic PNG, not its ids; None if it has none.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedPngError: it is no image; the message names it.
    """
    try:
        with open_picture(path) as image:
            return image.info.get(NOTE)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise DamagedPngError(f"{path} cannot be read ({error})") from error


def png_folder(json_path: str | Path) -> Path:
    """Returns the folder of a JSON's PNGs: beside it, named like it, as panopticapi expects."""
    return Path(json_path).with_suffix("")


def write_predictions_json(
    path: str | Path, annotations: Sequence[Mapping], categories: Sequence[Mapping]
) -> None:
    """Writes the JSON of a prediction folder.

    Args:
        annotations: per image "image_id", "file_name" below `png_folder` and "segments_info", a
            list of {"id", "category_id"} with the dataset's category ids.
        categories: the "categories" of the ground truth.
    """
    write_json(path, {"annotations": list(annotations), "categories": list(categories)})


def read_predictions(path: str | Path) -> Iterator[tuple[dict, np.ndarray]]:
    """Yields each annotation of a prediction folder's JSON with its (H, W) int32 ids.

    Raises:
        FileNotFoundError: the JSON or a PNG it lists is missing.
    """
    for annotation in read_json(path)["annotations"]:
        yield annotation, read_ids(png_folder(path) / annotation["file_name"])
