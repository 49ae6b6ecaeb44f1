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
    height, width = tested_size(image.shape[:2], shorter, longer)
    if (height, width) != image.shape[:2]:
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        image = np.asarray(resized)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
