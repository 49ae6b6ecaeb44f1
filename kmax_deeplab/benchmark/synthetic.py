"""Inputs without data: sizes and a generator enter, training batches and head outputs leave.

Both have the shape of the real thing, for what takes time depends on it: about twenty segments in
an image, a void corner, confident queries that overlap in blobs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kmax_deeplab.structures import VOID, Targets

SEGMENTS = 20
"""Segments per image; COCO has 11 on average, Cityscapes about 30."""
STRIDE = 4
"""Stride of the target grid in pixels of the network input."""
BLOBS = 9
"""Cells per axis of the noise from which smooth mask logits are interpolated."""
MASK_SCALE = 5.0
"""Standard deviation of the mask logits at those cells."""
CONFIDENCE = (2.0, 11.0)
"""Range of what is added to the logit of each query's own class, unit normal noise elsewhere."""


def voronoi_map(segments: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Divides a grid into Voronoi cells and voids a corner of it.

    Returns:
        (H, W) int64 cell per pixel, VOID in the bottom right corner.
    """
    height, width = size
    centers = torch.rand(segments, 2, generator=generator) * torch.tensor([height, width])  # (M, 2)
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()  # (P, 2)
    cells = torch.cdist(pixels, centers).argmin(dim=1).view(height, width)
    cells[int(0.8 * height) :, int(0.7 * width) :] = VOID
    return cells


def training_targets(classes: int, size: tuple[int, int], generator: torch.Generator) -> Targets:
    """Invents the ground truth of one image of `size` pixels, on its stride-4 grid."""
    grid = tuple(-(-side // STRIDE) for side in size)
    cells = voronoi_map(SEGMENTS, grid, generator)
    # A cell that lies wholly in the void corner is no segment.
    present, compact = cells.unique(return_inverse=True)
    segment_map = compact - int((present == VOID).any())
    count = int(segment_map.max()) + 1
    class_of = torch.randint(classes, (count,), generator=generator)
    semantic = torch.where(segment_map == VOID, VOID, class_of[segment_map.clamp(min=0)])
    return Targets(segment_map[None], class_of, semantic)


def training_batch(
    batch: int, size: tuple[int, int], classes: int, generator: torch.Generator
) -> list[dict]:
    """Invents what the mapper gives the model in training.

    Args:
        batch: number of images.
        size: (H, W) of the padded network input in pixels.
        classes: K, void not counted.
        generator: source of all randomness.

    Returns:
        One dict per image with "image" (3, H, W) uint8, "targets", "is_real_pixels" (H, W) bool,
        "height" and "width".
    """
    return [
        {
            "image": torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator),
            "targets": training_targets(classes, size, generator),
            "is_real_pixels": torch.ones(size, dtype=torch.bool),
            "height": size[0],
            "width": size[1],
        }
        for _ in range(batch)
    ]


def head_outputs(
    queries: int, classes: int, grid: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Invents class and mask logits of one image: confident, overlapping, blobby.

    Args:
        queries: Q.
        classes: K, void not counted.
        grid: (h, w) of the mask logits.
        generator: source of all randomness.

    Returns:
        class logits (Q, K + 1) and mask logits (Q, h, w).
    """
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    own = torch.randint(classes, (queries, 1), generator=generator)
    low, high = CONFIDENCE
    boost = low + (high - low) * torch.rand(queries, 1, generator=generator)
    class_logits.scatter_add_(1, own, boost)
    noise = MASK_SCALE * torch.randn(1, queries, BLOBS, BLOBS, generator=generator)
    mask_logits = F.interpolate(noise, grid, mode="bilinear", align_corners=True)[0]  # (Q, h, w)
    return class_logits, mask_logits
