"""From an image to what the network takes to predict it: resized as Detectron2 does it to test."""

import numpy as np
import torch
from torch import Tensor

from kmax_deeplab.predict.sizes import resize, tested_size, window_size


def as_input(image: np.ndarray, shorter: int, longer: int) -> Tensor:
    """Resizes an image for the network.

    Args:
        image: (H, W, 3) uint8 RGB.
        shorter, longer: see `tested_size`.

    Returns:
        (3, h, w) uint8.
    """
    return torch.from_numpy(resize(image, tested_size(image.shape[:2], shorter, longer)))


def window_as_input(window: np.ndarray, side: int, shorter: int) -> Tensor:
    """Resizes a window on an image, smaller ones at the border of small images by as much.

    Args:
        window: (H, W, 3) uint8 RGB.
        side, shorter: see `window_size`.

    Returns:
        (3, h, w) uint8.
    """
    return torch.from_numpy(resize(window, window_size(window.shape[:2], side, shorter)))
