"""From an image to what the network takes to predict it: resized as Detectron2 does it to test."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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


def as_input(image: np.ndarray, shorter: int, longer: int) -> Tensor:
    """Resizes an image for the network.

    Args:
        image: (H, W, 3) uint8 RGB.
        shorter, longer: see `tested_size`.

    Returns:
        (3, h, w) uint8.
    """
    return resize(image, tested_size(image.shape[:2], shorter, longer))


def window_as_input(window: np.ndarray, side: int, shorter: int) -> Tensor:
    """Resizes a window on an image, smaller ones at the border of small images by as much.

    Args:
        window: (H, W, 3) uint8 RGB.
        side: of full windows in pixels.
        shorter: what full windows are resized to; 0: they keep their size.

    Returns:
        (3, h, w) uint8.
    """
    scale = shorter / side if shorter else 1.0
    return resize(window, tuple(max(round(length * scale), 1) for length in window.shape[:2]))


def resize(image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Resizes (H, W, 3) uint8 to a size (h, w), and returns (3, h, w) uint8."""
    if size != image.shape[:2]:
        resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        image = np.asarray(resized)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
