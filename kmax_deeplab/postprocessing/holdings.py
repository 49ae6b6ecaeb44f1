"""Pixel probabilities enter, the short list of (pixel, query) pairs above the threshold leaves.

With threshold t at most ceil(1 / t) - 1 queries hold a pixel (two at 0.4), so this list replaces Q
binary masks of the full image in everything that follows.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Holdings:
    """Which query holds which pixel, sorted by pixel; E entries.

    Attributes:
        pixels: (E,) int64 flattened positions in the output image, ascending.
        queries: (E,) int64.
        probs: (E,) float32 probability of the query at the pixel, above the pixel threshold.
        num_queries: Q.
    """

    pixels: Tensor
    queries: Tensor
    probs: Tensor
    num_queries: int

    @cached_property
    def areas(self) -> Tensor:
        """(Q,) int64 pixels of each query's binary mask."""
        return torch.bincount(self.queries, minlength=self.num_queries)

    @cached_property
    def prob_sums(self) -> Tensor:
        """(Q,) sum of each query's probability over its binary mask; float64 but on MPS."""
        precise = torch.float32 if self.probs.device.type == "mps" else torch.float64
        return torch.bincount(self.queries, self.probs.to(precise), minlength=self.num_queries)


class HoldingsCollector:
    """Gathers the holdings of one image block by block.

    The lists grow by doubling inside three long-lived buffers. A small list per block instead would
    lodge between the large buffers of the blocks and scatter the heap over gigabytes.

    Args:
        threshold: probability above which a query holds a pixel.
        num_queries: Q.
        capacity: number of entries expected, at least 1.
    """

    def __init__(
        self, threshold: float, num_queries: int, capacity: int, device: torch.device
    ) -> None:
        self._threshold, self._num_queries, self._size = threshold, num_queries, 0
        self._buffers = tuple(
            torch.empty(capacity, dtype=dtype, device=device)
            for dtype in (torch.int64, torch.int64, torch.float32)
        )

    def add(self, probs: Tensor, first_pixel: int) -> None:
        """Lists the holders in the next block.

        Args:
            probs: (pixels, Q) softmax over the queries.
            first_pixel: flattened output position of the block's first pixel.
        """
        pixels, queries = (probs > self._threshold).nonzero(as_tuple=True)
        end = self._size + len(pixels)
        while end > len(self._buffers[0]):
            self._buffers = tuple(torch.cat([old, torch.empty_like(old)]) for old in self._buffers)
        columns = pixels + first_pixel, queries, probs[pixels, queries]
        for buffer, column in zip(self._buffers, columns, strict=True):
            buffer[self._size : end] = column
        self._size = end

    def result(self) -> Holdings:
        """Returns everything listed so far."""
        return Holdings(*(buffer[: self._size] for buffer in self._buffers), self._num_queries)
