"""The sizes that an image and its masks go through, and the linear map between them; no torch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """The sizes an image goes through, all (height, width) in pixels.

    Attributes:
        padded: network input, the resized image padded right and bottom.
        image: resized image, wherever it ends in the network input.
        output: original image, at which results are asked for.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    @property
    def content(self) -> tuple[int, int]:
        """Part of the padded input that is mapped on the output, by the image's resize ratio."""
        scale = max(self.image) / max(self.output)
        height, width = (max(round(side * scale), 1) for side in self.output)
        return min(height, self.padded[0]), min(width, self.padded[1])

    @property
    def align_corners(self) -> bool:
        """Whether resizing maps corner pixels on corner pixels, as inputs of odd width ask for."""
        return self.padded[1] % 2 == 1


def axis_weights(
    source: int, padded: int, content: int, output: int, align_corners: bool
) -> np.ndarray:
    """Tabulates resize to `padded`, crop to `content`, resize to `output` along one axis.

    Returns:
        (output, source) float32 weights, rows summing to 1, bit for bit those of
        `torch.nn.functional.interpolate` on CPUs with fused multiply-adds.
    """
    canvas = _resize(np.eye(source, dtype=np.float32), padded, align_corners)
    return _resize(canvas[:content], output, align_corners)


def _resize(signal: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    """Resizes (n, columns) float32 linearly to (size, columns).

    Sums and products are rounded as one, which float64 does for float32.
    """
    wanted, last = np.arange(size, dtype=np.float64), len(signal) - 1
    if align_corners:
        scale = np.float32(last) / np.float32(size - 1) if size > 1 else np.float32(0)
        places = (scale * wanted).astype(np.float32)
    else:
        scale = np.float32(len(signal)) / np.float32(size)
        places = np.maximum(scale * (wanted + 0.5) - 0.5, 0).astype(np.float32)
    below = np.minimum(places.astype(np.int64), last)
    share = np.clip(places - below.astype(np.float32), 0, 1)[:, None]
    above = share * signal[np.minimum(below + 1, last)]
    return ((1 - share).astype(np.float64) * signal[below] + above).astype(np.float32)
