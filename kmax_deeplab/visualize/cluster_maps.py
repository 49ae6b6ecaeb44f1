"""Pixel-to-cluster pictures: mask logits of a k-means layer enter, a coloured map leaves.

The paper reads cross-attention as k-means (section "k-means cross-attention"): every pixel goes to
the query with the largest mask logit, a hard argmax. These pictures show that assignment, one
colour per query, the same colour in every layer, so that clusters can be followed from layer to
layer as they settle on objects.
"""

import colorsys
from collections.abc import Sequence

import numpy as np

from kmax_deeplab.postprocessing.resize import Geometry

GOLDEN_TURN = 0.618033988749895
"""Hue step in turns between neighbouring queries: no two of a few dozen come close."""
TONES = ((0.75, 0.95), (0.45, 1.0), (0.9, 0.7))
"""(saturation, value) that neighbouring queries take in turn."""
DISTANCES = (120, 90, 60, 40, 25, 0)
"""Least distances in RGB from colours to avoid: the first that leaves enough is taken."""
TRIED, LEAST_KEPT = 256, 0.3
"""Colours of which at least this share has to be left."""
SHADING = 0.5
"""Share of a pixel's brightness that comes from the image, which keeps its outlines visible."""


def query_palette(queries: int, avoid: Sequence[tuple[int, int, int]] = ()) -> np.ndarray:
    """Returns a distinct RGB colour per query, (queries, 3) uint8; colour n never depends on Q.

    Args:
        queries: Q.
        avoid: RGB colours of something else, to which none may be similar.
    """
    if not len(avoid):
        return _candidates(queries).round().astype(np.uint8)
    others = np.array(avoid, float)
    distance = next(d for d in DISTANCES if _are_apart(TRIED, others, d).mean() >= LEAST_KEPT)
    count = 2 * queries
    while (apart := _are_apart(count, others, distance)).sum() < queries:
        count *= 2
    return _candidates(count)[apart][:queries].round().astype(np.uint8)


def _are_apart(count: int, others: np.ndarray, distance: float) -> np.ndarray:
    gaps = np.linalg.norm(_candidates(count)[:, None] - others, axis=-1)  # (count, others)
    return gaps.min(axis=1) >= distance


def _candidates(count: int) -> np.ndarray:
    colors = []
    for query in range(count):
        saturation, value = TONES[query % len(TONES)]
        colors.append(colorsys.hsv_to_rgb(query * GOLDEN_TURN % 1.0, saturation, value))
    return np.array(colors).reshape(count, 3) * 255


def assignment_map(mask_logits: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Assigns every pixel of the output to the query with the largest mask logit.

    Args:
        mask_logits: (Q, h, w) of one image, on any grid that spans the padded network input.
        geometry: where the image lies in the network input, and the size of the output.

    Returns:
        (height, width) int64 query per output pixel, taken from the nearest grid point.

    Raises:
        ValueError: the logits are not three-dimensional.
    """
    if mask_logits.ndim != 3:
        raise ValueError(f"mask logits of one image are (Q, h, w), not {mask_logits.shape}")
    clusters = mask_logits.argmax(axis=0)  # (h, w)
    sizes = zip(clusters.shape, geometry.padded, geometry.content, geometry.output, strict=True)
    rows, columns = (_nearest_cells(*axis, geometry.align_corners) for axis in sizes)
    return clusters[rows[:, None], columns[None, :]]  # (height, width)


def _nearest_cells(
    cells: int, padded: int, content: int, output: int, align_corners: bool
) -> np.ndarray:
    """Returns the grid cell nearest to each output pixel along one axis, (output,) int64."""
    pixels = np.arange(output)
    if align_corners:
        pixels = pixels * (content - 1) / max(output - 1, 1)  # pixels of the network input
        positions = pixels * (cells - 1) / max(padded - 1, 1)
    else:
        pixels = (pixels + 0.5) * content / output
        positions = pixels * cells / padded - 0.5
    return positions.round().astype(np.int64).clip(0, cells - 1)


def paint_assignment(
    clusters: np.ndarray, image: np.ndarray, palette: np.ndarray | None = None
) -> np.ndarray:
    """Colours every pixel of an image by its query and shades it by the image.

    Args:
        clusters: (height, width) query of each pixel.
        image: (height, width, 3) uint8 RGB.
        palette: (Q, 3) RGB of the queries; None: that of `query_palette`.
    """
    palette = query_palette(int(clusters.max()) + 1) if palette is None else palette
    brightness = image.mean(axis=2, keepdims=True) / 255  # (height, width, 1)
    painted = palette[clusters] * (1 - SHADING + SHADING * brightness)  # (height, width, 3)
    return painted.round().astype(np.uint8)
