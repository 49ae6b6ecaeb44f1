"""What tells an image from others: an opened image enters, 64 bits and a tiny picture leave.

The bits say which of the lowest frequencies (of the discrete cosine transform) are positive. They
stay, but for a few, when an image is stored with another quality, size, brightness or contrast.
Images whose bits agree are compared by their pictures of THUMBNAIL² pixels.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import fft

from kmax_deeplab.data.format.images import TURNS, read_orientation

BITS = 64
FINE, GRID, THUMBNAIL = 256, 32, 16
"""Sides in pixels: of what an image is shrunk to, of the means of that, of the tiny picture."""
LEAST_CONTRAST = 0.5
"""Standard deviation of the means, in grey levels, below which an image is one of no content."""
SCALE = 40
"""Of a standard deviation in the tiny picture, which has 8 bits."""
FREQUENCIES = tuple(
    zip(*sorted(np.ndindex(GRID, GRID), key=lambda at: (sum(at), at))[1 : BITS + 1], strict=True)
)
"""Rows and columns of the lowest ones; without the first, the brightness."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What remains of an image to find it again.

    Attributes:
        bits: 64 of them.
        thumbnail: THUMBNAIL² int8 values as bytes, row by row, with the mean 0.
    """

    bits: int
    thumbnail: bytes


def take_fingerprint(image: Image.Image) -> Fingerprint | None:
    """Returns the fingerprint of a decoded image as it is upright; None if it shows nothing."""
    small = image.convert("L").resize((FINE, FINE), Image.Resampling.BOX)
    turn = TURNS.get(read_orientation(image))
    small = np.asarray(small if turn is None else small.transpose(turn), dtype=np.float32)
    grid = _means(small, GRID)  # finer than grey levels, as dim images need
    if grid.std() < LEAST_CONTRAST:
        return None
    waves = fft.dctn(grid - grid.mean(), norm="ortho")[FREQUENCIES]  # (BITS,)
    bits = int.from_bytes(np.packbits(waves > 0).tobytes(), "big")
    thumbnail = _means(grid, THUMBNAIL)
    thumbnail = (thumbnail - thumbnail.mean()) / max(thumbnail.std(), 1e-6)
    return Fingerprint(bits, (SCALE * thumbnail).round().clip(-127, 127).astype(np.int8).tobytes())


def _means(values: np.ndarray, side: int) -> np.ndarray:
    """Shrinks square values to (side, side) by the means of equal blocks."""
    step = len(values) // side
    return values.reshape(side, step, side, step).mean(axis=(1, 3))
