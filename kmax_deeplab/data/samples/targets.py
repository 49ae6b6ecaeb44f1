"""Ground truth on the stride-4 grid, and whether it is worth training on.

What enters: a map of segments on the grid. What leaves: its `Targets` (section "Targets") and a
verdict on the number of labelled pixels (section "Data", step 5).
"""

from collections.abc import Sequence

import numpy as np
import torch

from kmax_deeplab.data.samples.segments import Segment
from kmax_deeplab.structures import VOID, Targets

STRIDE = 4
"""Pixels between neighbours of the grid, which takes every 4th pixel from the first on."""

LEAST_LABELLED = (4096, 321 * 321)
"""A sample needs more than this many labelled pixels per grid pixels; 321 is the grid of 1281."""


def make_targets(grid_map: np.ndarray, segments: Sequence[Segment]) -> Targets:
    """Names the class of every segment and of every pixel.

    Args:
        grid_map: (h, w) int32 index into `segments`, VOID where unlabelled.
        segments: a segment per thing and per class of stuff, each with pixels on the grid.
    """
    # Small numbers: the maps travel from process to process, and to the GPU.
    classes = np.array([segment.category for segment in segments], dtype=np.int16)
    semantic = np.append(classes, VOID)[grid_map]  # (h, w); the last entry serves VOID
    return Targets(
        segment_map=torch.from_numpy(grid_map.astype(np.int16))[None],
        classes=torch.from_numpy(classes),
        semantic=torch.from_numpy(semantic),
    )


def has_enough_labels(targets: Targets) -> bool:
    """Says whether enough of the grid is labelled for a training sample."""
    labelled, grid = LEAST_LABELLED
    pixels = int((targets.semantic != VOID).sum())
    return pixels * grid > labelled * targets.semantic.numel()
