"""Weights, inputs and targets that the golden figures were measured with, as functions of a seed.

The order of the random draws is part of the figures: change none of it.
"""

import gzip
import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent
RESIDUAL_SCALE = re.compile(r"(conv3|_conv3_bn|_conv2_bn)\.norm\.weight$")


def read(name: str) -> dict:
    """Reads a gzipped JSON of this folder."""
    return json.loads(gzip.decompress((FOLDER / name).read_bytes()))


def cases(kind: str) -> list[dict]:
    """Returns the cases of one kind: "forward", "postprocess" or "train"."""
    return [c for c in json.loads((FOLDER / "cases.json").read_text()) if c["kind"] == kind]


def checkpoint(config: str) -> dict[str, torch.Tensor]:
    """Returns a state dict under the released names, the same every time."""
    shapes = read("manifest.json.gz")[config]
    return {name: torch.from_numpy(_entry(name, tuple(shape))) for name, shape in shapes.items()}


def _entry(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith(("running_mean", "bias")) and len(shape) < 2:
        value = 0.1 * rng.standard_normal(shape)
    elif len(shape) >= 2:
        is_table = "_embeddings" in name or "_cluster_centers" in name
        scale = 1.0 if is_table else float(np.prod(shape[1:])) ** -0.5
        value = scale * rng.standard_normal(shape)
    elif name.endswith("gamma"):
        value = rng.uniform(0.05, 0.2, shape)
    elif RESIDUAL_SCALE.search(name):
        value = rng.uniform(0.1, 0.3, shape)
    else:
        value = rng.uniform(0.5, 1.5, shape)
    return np.asarray(value, np.float32)


def head_outputs(seed: int, queries: int, classes: int, size: tuple[int, int]) -> dict:
    """Returns what a confident head would: "pred_logits" and "pred_masks" of one image."""
    rng = np.random.RandomState(seed)
    logits = rng.standard_normal((1, queries, classes + 1)).astype(np.float32)
    favourite = rng.randint(0, classes, queries)
    confidence = rng.uniform(2.0, 11.0, queries).astype(np.float32)
    logits[0, np.arange(queries), favourite] += confidence
    coarse = rng.standard_normal((queries, 9, 9)).astype(np.float32) * 5.0
    masks = _enlarge(coarse, size)[None]
    return {"pred_logits": torch.from_numpy(logits), "pred_masks": torch.from_numpy(masks)}


def _enlarge(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarges (N, c, c) bilinearly with aligned corners, in the figures' order of operations."""
    cells = grid.shape[-1]
    axes = [np.linspace(0, cells - 1, side) for side in size]
    (y0, x0) = (np.clip(np.floor(axis).astype(int), 0, cells - 2) for axis in axes)
    fy, fx = (axes[0] - y0)[None, :, None], (axes[1] - x0)[None, None, :]
    top, bottom = grid[:, y0], grid[:, y0 + 1]
    corners = (top[:, :, x0], top[:, :, x0 + 1], bottom[:, :, x0], bottom[:, :, x0 + 1])
    weights = ((1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx)
    parts = [corner * weight for corner, weight in zip(corners, weights, strict=True)]
    return (parts[0] + parts[1] + parts[2] + parts[3]).astype(np.float32)


def voronoi(seed: int, size: tuple[int, int], segments: int) -> np.ndarray:
    """Returns a map of segment indices, -1 in a void corner."""
    height, width = size
    rng = np.random.RandomState(seed)
    centre_y, centre_x = rng.uniform(0, height, segments), rng.uniform(0, width, segments)
    y, x = np.mgrid[0:height, 0:width]
    squared = [(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in zip(centre_y, centre_x, strict=True)]
    labels = np.argmin(squared, axis=0)
    labels[(y > 0.8 * height) & (x > 0.7 * width)] = -1
    return labels
