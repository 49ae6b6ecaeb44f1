"""Masks as Label Studio writes them: run lengths or a small PNG enter, (H, W) bool leaves.

A brush label is an RGBA image, row by row, packed by "rle-pack" (thi.ng/umbrella) as the converter
of Label Studio unpacks it. Its bits: the number of bytes (32), bits of a byte - 1 (5), four sizes
of run lengths - 1 (4 each); then runs: whether one byte repeats (1), which size its length has (2),
length - 1 (that size), and the byte that repeats, or all bytes. Where the alpha is not 0 the label
lies, as in the tool's own exports.
"""

import base64
import binascii
import io

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.images import UNREADABLE, require_pixels

BYTE = 8
"""Bits of the values that a packed image holds."""


def decode_brush(packed: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decodes the run lengths of a brush label as a (height, width) bool mask.

    Raises:
        ValueError: they are damaged or of an image of another size.
    """
    height, width = size
    bits = _Bits(packed)
    count, depth = bits.read(32), bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    if depth != BYTE or count != 4 * height * width:
        raise ValueError(
            f"its run lengths hold {count} values of {depth} bits; an image of {width} x {height} "
            f"pixels has {4 * height * width} of {BYTE}"
        )
    values, start = np.empty(count, np.uint8), 0
    while start < count:
        repeats = bits.read(1)
        end = start + 1 + bits.read(lengths[bits.read(2)])
        if end > count:
            raise ValueError("its run lengths reach beyond the image")
        values[start:end] = bits.read(BYTE) if repeats else bits.read_bytes(end - start)
        start = end
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """Bits of bytes, read from the first to the last, the highest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, count: int) -> int:
        """Reads a number of some bits."""
        start, end = self._advance(count)
        last = (end + 7) // 8
        number = int.from_bytes(self._data[start // 8 : last], "big")
        return number >> (8 * last - end) & ((1 << count) - 1)

    def read_bytes(self, count: int) -> np.ndarray:
        """Reads some bytes, (count,) uint8, wherever they begin."""
        start, end = self._advance(BYTE * count)
        data = np.frombuffer(self._data[start // 8 : (end + 7) // 8], np.uint8)
        first = start % 8
        return np.packbits(np.unpackbits(data)[first : first + BYTE * count])

    def _advance(self, count: int) -> tuple[int, int]:
        start = self._position
        self._position += count
        if self._position > 8 * len(self._data):
            raise ValueError("its run lengths end too early")
        return start, self._position


def decode_bitmask(url: object, size: tuple[int, int]) -> np.ndarray:
    """Decodes the PNG of a bitmask label, "data:image/png;base64,…", as a bool mask.

    Raises:
        ValueError: it is damaged or of an image of another size.
    """
    if not isinstance(url, str):
        raise ValueError(f"its bitmask is {str(url)[:60]}, not the URL of a PNG")
    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            require_pixels(image)
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    except (binascii.Error, *UNREADABLE) as error:
        raise ValueError(f"its bitmask cannot be read ({error})") from error
    if alpha.shape != size:
        raise ValueError(f"its bitmask has (height, width) {alpha.shape}, its image {size}")
    return alpha > 0
