"""Whatever people call an image enters, names and pixels leave."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from kmax_deeplab.data.format.images import MODES, turn_upright
from kmax_deeplab.data.format.zips import is_file, is_folder
from kmax_deeplab.data.samples.reading import read_image
from kmax_deeplab.predict.images import name_images

Source = str | Path | Image.Image | np.ndarray | torch.Tensor
"""A path, a picture of PIL, or RGB bytes: an array (H, W), (H, W, 3) or (H, W, 4), or a tensor
(3, H, W) or (H, W)."""
T, R = TypeVar("T"), TypeVar("R")


@dataclass(frozen=True)
class NamedImage:
    """An image as the predictor takes it.

    Attributes:
        name: its path, or its number.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    name: str
    pixels: np.ndarray


def is_one(images: object) -> bool:
    """Returns whether something is one image, rather than several."""
    if isinstance(images, str | Path):
        return not is_folder(images)
    return isinstance(images, Image.Image) or getattr(images, "ndim", 4) < 4


def spread(images: Source | Iterable[Source]) -> Iterator[tuple[str, Source]]:
    """Yields images with their names: paths, or numbers from 0; of folders all images in them."""
    if is_one(images) or isinstance(images, str | Path):
        images = [images]
    for number, image in enumerate(images):
        if isinstance(image, str | Path) and is_folder(image):
            yield from ((str(path), path) for path in name_images([Path(image)]).values())
        else:
            yield str(image) if isinstance(image, str | Path) else str(number), image


def read(name: str, image: Source, most_pixels: int) -> NamedImage:
    """Reads an image.

    Args:
        name: for messages.
        image: see `Source`.
        most_pixels: that a file may have.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: it is damaged, no image, or of a kind that is not looked at.
        TypeError, ValueError: an array or tensor is no image of bytes.
    """
    if isinstance(image, str | Path):
        if not (is_file(image) or Path(image).exists()):
            raise FileNotFoundError(f"{image} does not exist")
        return NamedImage(name, read_image(image, most_pixels))
    if isinstance(image, Image.Image):
        if image.mode not in MODES:
            raise ValueError(f"image {name} has mode {image.mode}: bring it to 8 bits, grey or RGB")
        return NamedImage(name, np.asarray(turn_upright(image).convert("RGB")))
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
        image = image.transpose(1, 2, 0) if image.ndim == 3 else image
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image {name} is a {type(image).__name__}, no path, picture or array")
    return NamedImage(name, _as_rgb(name, image))


def _as_rgb(name: str, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"image {name} holds {pixels.dtype}: bring it to bytes from 0 to 255 (uint8) first; "
            "only you know which of its values are black and white"
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(
            f"image {name} has the shape {pixels.shape}: an array is (H, W), (H, W, 3) or "
            "(H, W, 4), a tensor (3, H, W)"
        )
    grey = pixels.shape[2] == 1
    return np.repeat(pixels, 3, 2) if grey else np.ascontiguousarray(pixels[..., :3])


def work_ahead(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[Future[R]]:
    """Does work on items in threads, in order, a few of them before they are asked for."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()
