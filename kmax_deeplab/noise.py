"""Random numbers that follow from seeds of images and nothing else.

Seeds enter, numbers in (0, 1) leave: the same on every device, in every batch and in every process,
without a state that anything advances. Each place that draws has a stream of its own.

Source: M. E. O'Neill's advice to hash counters; the hash is C. Wellons' `lowbias32`.
"""

import torch
from torch import Tensor

DROP_PATH, INSTANCE_PIXELS, SEMANTIC_PIXELS = range(3)
"""Streams: who draws."""

MOST_NUMBERS = 2**28
"""Of an image that a stream can draw."""
LAST_BITS = 2**32 - 1
FACTORS = 0x7FEB352D, 0x846CA68B - 2**32
"""Of `lowbias32`; modulo 2**32, of which no product leaves 64 bits."""


def uniform(seeds: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Draws numbers for images.

    Args:
        seeds: (B,) int64, one an image, in [0, 2**32).
        stream: who draws.
        shape: of the numbers of an image.

    Returns:
        (B, *shape) float32 in (0, 1), on the device of the seeds. Small numbers are drawn as finely
        as float32 tells them apart: multiples of 2**-32.
    """
    count = torch.Size(shape).numel()
    counters = _hash(torch.arange(count, device=seeds.device) + stream * MOST_NUMBERS)
    bits = _hash(_hash(seeds)[:, None] ^ counters & LAST_BITS)
    numbers = (bits.float() + 0.5) * 2.0**-32
    return numbers.clamp_(max=1 - 2.0**-24).view(-1, *shape)


def draw_seeds(images: int) -> Tensor:
    """Draws seeds from PyTorch's global generator, for images that come without: (B,) int64."""
    return torch.randint(LAST_BITS, (images,))


def _hash(x: Tensor) -> Tensor:
    """Mixes the last 32 bits of int64 numbers."""
    x = x & LAST_BITS
    x = (x ^ (x >> 16)) * FACTORS[0] & LAST_BITS
    x = (x ^ (x >> 15)) * FACTORS[1] & LAST_BITS
    return x ^ (x >> 16)
