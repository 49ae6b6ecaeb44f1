"""How k-means settles: predictions of every layer enter; who owns what, and what each query says.

A query is a cluster centre. Each layer assigns every pixel to one of them and moves the centres; at
every layer each also says of which class its pixels are, or that they are nothing (void).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import VOID, Prediction
from kmax_deeplab.visualize.cluster_maps import assignment_map


@dataclass(frozen=True)
class ClusterLayer:
    """One k-means layer, or the final prediction.

    Attributes:
        name: for captions.
        stride: pixels of the network's input between its grid points.
        clusters: (H, W) int64 query that each pixel of the image is assigned to.
        classes: (Q,) int64 class that each query says, VOID for none.
        probs: (Q,) float32 probability of that.
    """

    name: str
    stride: int
    clusters: np.ndarray
    classes: np.ndarray
    probs: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """(Q,) int64 pixels that each query owns."""
        return np.bincount(self.clusters.ravel(), minlength=len(self.classes))

    @property
    def owners(self) -> np.ndarray:
        """Queries that own a pixel, ascending."""
        return np.flatnonzero(self.areas)

    @property
    def found(self) -> np.ndarray:
        """Queries that own a pixel and say a class, those with most pixels first."""
        areas = np.where(self.classes == VOID, 0, self.areas)
        return np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)]

    @property
    def centers(self) -> np.ndarray:
        """(Q, 2) mean (x, y) of the pixels of each query, NaN where it has none."""
        ones = np.ones_like(self.clusters, float)
        with np.errstate(invalid="ignore"):
            means = ndimage.center_of_mass(ones, self.clusters, range(len(self.classes)))
        return np.array(means, float)[:, ::-1]


def read_layers(layers: Sequence[Prediction], geometry: Geometry) -> list[ClusterLayer]:
    """Reads what was predicted of one image.

    Args:
        layers: of every k-means layer and the final prediction, B = 1.
        geometry: where the image lies in the network's input.
    """
    return [
        _read(layer, geometry, "final" if i == len(layers) - 1 else f"layer {i + 1}")
        for i, layer in enumerate(layers)
    ]


def _read(layer: Prediction, geometry: Geometry, name: str) -> ClusterLayer:
    logits = layer.mask_logits[0].float().cpu().numpy()  # (Q, h, w)
    probs, classes = layer.class_logits[0].float().softmax(-1).cpu().max(-1)
    void = layer.class_logits.shape[-1] - 1
    classes = np.where(classes.numpy() == void, VOID, classes.numpy())
    corner = int(geometry.align_corners)
    stride = round((geometry.padded[1] - corner) / max(logits.shape[2] - corner, 1))
    return ClusterLayer(name, stride, assignment_map(logits, geometry), classes, probs.numpy())


def changed_pixels(layers: Sequence[ClusterLayer]) -> list[float]:
    """Returns the share of pixels that each layer but the first assigns to another query."""
    pairs = pairwise(layers)
    return [float((before.clusters != after.clusters).mean()) for before, after in pairs]


def changed_minds(layers: Sequence[ClusterLayer]) -> list[int]:
    """Returns how many queries say another class at each layer but the first."""
    pairs = pairwise(layers)
    return [int((before.classes != after.classes).sum()) for before, after in pairs]
