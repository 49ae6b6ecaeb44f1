"""Drawn cells, as a fluorescence microscope shows their nuclei: a picture with its truth."""

import numpy as np
from scipy import ndimage

BACKGROUND, BRIGHT = 14.0, (70.0, 210.0)
"""Grey values of nothing, and the range of nuclei."""
RADII = (6.0, 12.0)
"""Semi-axes of nuclei in pixels."""
BLUR, NOISE = 1.0, 4.0
"""Standard deviations of the optics in pixels, and of the camera in grey values."""


def draw_cells(size: tuple[int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws nuclei that do not overlap.

    Args:
        size: (H, W) in pixels.
        count: nuclei that are tried; one without room is left out.
        seed: of all that is random.

    Returns:
        (H, W, 3) uint8, and (H, W) int32 the number of the nucleus at each pixel, 0 where none is.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    truth, light = np.zeros(size, np.int32), np.full(size, BACKGROUND)
    for number in range(1, count + 1):
        mask = _ellipse(rows, columns, size, rng)
        if (truth[ndimage.binary_dilation(mask, iterations=2)] == 0).all():
            truth[mask] = number
            light[mask] = rng.uniform(*BRIGHT)
    texture = ndimage.gaussian_filter(rng.normal(size=size), 2.0)
    light = np.where(truth > 0, light * (1 + 0.8 * texture), light)
    picture = ndimage.gaussian_filter(light, BLUR) + rng.normal(scale=NOISE, size=size)
    grey = picture.clip(0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), truth


def _ellipse(
    rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    down, right = rng.uniform(0, size[0]) - rows, rng.uniform(0, size[1]) - columns
    long, short = sorted(rng.uniform(*RADII, size=2), reverse=True)
    turn = rng.uniform(0, np.pi)
    along = np.cos(turn) * right + np.sin(turn) * down
    across = np.cos(turn) * down - np.sin(turn) * right
    return (along / long) ** 2 + (across / short) ** 2 <= 1
