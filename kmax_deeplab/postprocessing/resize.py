"""Mask logits enter at the head's stride and leave at the output size, a few rows at a time.

Two bilinear resizes with a crop between them are one linear map. Each axis of that map is a table
of a few source positions (taps) per output position: masks are never held at full resolution.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from kmax_deeplab.postprocessing.geometry import Geometry, axis_weights

# Logits per block: on a CPU 8 MiB of float32 stay in the cache from the resize to the last reader;
# on an accelerator 256 MiB keep the device busy.
CPU_BLOCK_VALUES = 2**21
DEVICE_BLOCK_VALUES = 2**26


def axis_taps(
    source: int, padded: int, content: int, output: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Tabulates resize to `padded`, crop to `content`, resize to `output` along one axis.

    Returns:
        (output, taps) int64 source positions and (output, taps) float32 weights, rows summing to 1.
    """
    response = torch.from_numpy(axis_weights(source, padded, content, output, align_corners))
    taps = int((response > 0).sum(1).max())
    weights, positions = response.topk(taps, dim=1)
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
