"""Pixel probabilities enter, the few queries that hold each pixel leave.

A query holds a pixel with a probability above the threshold t. At most ceil(1 / t) - 1 queries can
(two at 0.4), so this short list replaces Q binary masks of the full image in all that follows.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kmax_deeplab.postprocessing.acceptance import most_holders
from kmax_deeplab.structures import VOID

SLACK = 1e-5
"""How far the float32 probabilities of a pixel may miss 1 in sum."""


@dataclass(frozen=True)
class Holders:
    """Which queries hold which pixel, the strongest first; H at most.

    Attributes:
        queries: (H, P) int64, VOID where there is no further holder.
        probs: (H, P) float32 probability of the holder at the pixel, 0 where there is none.
        num_queries: Q.
    """

    queries: Tensor
    probs: Tensor
    num_queries: int

    @classmethod
    def nowhere(
        cls, threshold: float, num_queries: int, num_pixels: int, device: torch.device
    ) -> "Holders":
        """Makes room for the holders above a threshold, found block by block.

        A small result per block instead would lodge between the large buffers of the blocks and
        scatter the heap over gigabytes.
        """
        size = most_holders(threshold, num_queries), num_pixels
        queries = torch.full(size, VOID, device=device)
        return cls(queries, torch.zeros(size, device=device), num_queries)

    def fill(self, block: slice, probs: Tensor, threshold: float) -> None:
        """Finds the holders of a block of pixels.

        Args:
            block: of [0, P).
            probs: (pixels, Q) softmax over the queries; overwritten.
            threshold: probability above which a query holds a pixel.
        """
        queries, held = self.queries[:, block], self.probs[:, block]
        places, left = slice(None), 1.0
        for rank in range(len(queries)):
            best, query = _strongest(probs)
            holds = best > threshold
            queries[rank, places] = torch.where(holds, query, VOID)
            held[rank, places] = torch.where(holds, best, 0)
            if rank + 1 == len(queries):
                break
            left = left - best
            if probs.is_cpu:  # others are quicker than the search for the few such pixels
                may = (holds & (left > threshold - SLACK)).nonzero()[:, 0]
                places = places[may] if rank else may
                left, probs, query = left[may], probs[may], query[may]
            probs.scatter_(1, query[:, None], -1)

    @cached_property
    def areas(self) -> Tensor:
        """(Q,) int64 pixels of each query's binary mask."""
        return self._sum(self.queries.new_ones(1).expand_as(self.queries))

    @cached_property
    def prob_sums(self) -> Tensor:
        """(Q,) sum of each query's probability over its binary mask; float64 but on MPS."""
        return self._sum(self.probs.to(_precise(self.probs.device)))

    def _sum(self, values: Tensor) -> Tensor:
        sums = values.new_zeros(self.num_queries + 1)
        return sums.scatter_add_(0, (self.queries - VOID).flatten(), values.flatten())[1:]


def _precise(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _strongest(probs: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the greatest of each row, and where it is."""
    if probs.is_cpu:  # several times as fast as PyTorch's there
        where = torch.from_numpy(probs.numpy().argmax(1))
        return probs.gather(1, where[:, None])[:, 0], where
    return probs.max(1)
