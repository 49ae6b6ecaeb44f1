"""Mask logits enter at the head's stride and leave at the output size, a few rows at a time.

Two bilinear resizes with a crop between them are one linear map. Each axis of that map is a table
of a few source positions (taps) per output position: masks are never held at full resolution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Logits per block: on a CPU 8 MiB of float32 stay in the cache from the resize to the last reader;
# on an accelerator 256 MiB keep the device busy.
CPU_BLOCK_VALUES = 2**21
DEVICE_BLOCK_VALUES = 2**26


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


def axis_taps(
    source: int, padded: int, content: int, output: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Tabulates resize to `padded`, crop to `content`, resize to `output` along one axis.

    Returns:
        (output, taps) int64 source positions and (output, taps) float32 weights, rows summing to 1.
    """
    unit_signals = torch.eye(source)[None]
    canvas = F.interpolate(unit_signals, size=padded, mode="linear", align_corners=align_corners)
    cropped = canvas[..., :content]
    response = F.interpolate(cropped, size=output, mode="linear", align_corners=align_corners)[0]
    taps = int((response > 0).sum(0).max())
    weights, positions = response.T.topk(taps, dim=1)
    return positions, weights


@lru_cache(maxsize=512)
def _taps_on(device: torch.device, *axis: int) -> tuple[Tensor, Tensor]:
    """Returns the tables of an axis on a device; images of a dataset have few sizes."""
    positions, weights = axis_taps(*axis)
    return positions.to(device), weights.to(device)


def resized_blocks(mask_logits: Tensor, geometry: Geometry) -> Iterator[tuple[slice, Tensor]]:
    """Resizes mask logits to the output size in blocks of whole rows.

    Args:
        mask_logits: (Q, h, w) float32 at any stride of the padded input.

    Yields:
        The block's range of flattened output pixels and its (pixels, Q) float32 logits.
    """
    queries, *grid = mask_logits.shape
    source = mask_logits.permute(1, 2, 0).reshape(grid[0], -1)  # (h, w * Q)
    (rows, row_weights), (columns, column_weights) = (
        _taps_on(source.device, *sizes, geometry.align_corners)
        for sizes in zip(grid, geometry.padded, geometry.content, geometry.output, strict=True)
    )
    height, width = geometry.output
    block_values = CPU_BLOCK_VALUES if source.device.type == "cpu" else DEVICE_BLOCK_VALUES
    block_rows = min(max(block_values // (width * queries), 1), height)
    first = torch.arange(block_rows, device=source.device)[:, None, None] * grid[1]
    columns = (first + columns).flatten(0, 1)  # (block_rows * width, taps)
    column_weights = column_weights.repeat(block_rows, 1)
    for top in range(0, height, block_rows):
        block = slice(top, min(top + block_rows, height))
        pixels = slice(block.start * width, block.stop * width)
        # A bag of weighted rows per output row, then one of weighted pixels per output pixel.
        mixed = _bag(rows[block], source, row_weights[block]).view(-1, queries)
        size = pixels.stop - pixels.start
        yield pixels, _bag(columns[:size], mixed, column_weights[:size])


def _bag(positions: Tensor, source: Tensor, weights: Tensor) -> Tensor:
    """Sums the weighted rows of a source, (n, taps) positions to (n, values)."""
    return F.embedding_bag(positions, source, mode="sum", per_sample_weights=weights)
