"""From an image to the size that the network sees it in, resized as Detectron2 does it to test.

Needs no torch: exported models are used with it too.
"""

import numpy as np
from PIL import Image


def tested_size(size: tuple[int, int], shorter: int, longer: int) -> tuple[int, int]:
    """Returns the (height, width) in pixels that an image is resized to.

    Args:
        size: (height, width) of the image.
        shorter: wanted length of the shorter side; 0: the image keeps its size.
        longer: greatest length of the other side, which wins.
    """
    if shorter == 0:
        return size
    height, width = size
    scale = shorter / min(size)
    new = (shorter, scale * width) if height < width else (scale * height, shorter)
    if max(new) > longer:
        scale = longer * 1.0 / max(new)
        new = (new[0] * scale, new[1] * scale)
    return int(new[0] + 0.5), int(new[1] + 0.5)


def window_size(size: tuple[int, int], side: int, shorter: int) -> tuple[int, int]:
    """Returns the (height, width) that a window is resized to, smaller ones by as much.

    Args:
        size: (height, width) of the window.
        side: of full windows in pixels.
        shorter: what full windows are resized to; 0: they keep their size.
    """
    scale = shorter / side if shorter else 1.0
    height, width = (max(round(length * scale), 1) for length in size)
    return height, width


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W, 3) uint8 to a size (h, w), and returns (3, h, w) uint8."""
    if size != image.shape[:2]:
        resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        image = np.asarray(resized)
    return np.ascontiguousarray(image.transpose(2, 0, 1))
