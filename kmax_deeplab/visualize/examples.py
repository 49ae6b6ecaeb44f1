"""One image of a report: image, segmentations, k-means layers enter, captioned pictures leave."""

from dataclasses import dataclass, field

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import Prediction
from kmax_deeplab.visualize.cluster_maps import assignment_map, assignment_picture
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify

READABLE_SIDE = 360
"""Shorter side in pixels from which on names are readable; smaller images are enlarged."""


@dataclass(frozen=True)
class Panel:
    """A picture, (H, W, 3) uint8 RGB, with its caption and an optional smaller remark."""

    picture: np.ndarray
    caption: str
    remark: str = ""


@dataclass(frozen=True)
class Example:
    """One image of the report: its main pictures, and one small picture per k-means layer."""

    name: str
    panels: list[Panel]
    layers: list[Panel] = field(default_factory=list)


@dataclass(frozen=True)
class Segmentation:
    """A panoptic result or ground truth: (H, W) integer ids and what they are."""

    panoptic: np.ndarray
    segments_info: list[dict]


def make_example(
    name: str,
    image: np.ndarray,
    segmentations: dict[str, Segmentation],
    categories: Categories,
    layers: list[Panel],
) -> Example:
    """Draws an image and its segmentations, enlarged until names are readable.

    Args:
        name: heading of the image.
        image: (H, W, 3) uint8 RGB.
        segmentations: by caption, in order.
        categories: names and colours of the classes.
        layers: see `layer_panels`.
    """
    factor = max(-(-READABLE_SIDE // min(image.shape[:2])), 1)
    large = magnify(image, factor)
    panels = [Panel(large, "image")]
    for caption, segmentation in segmentations.items():
        panoptic = segmentation.panoptic.repeat(factor, axis=0).repeat(factor, axis=1)
        picture = draw_panoptic(large, panoptic, segmentation.segments_info, categories)
        panels.append(Panel(picture, caption))
    return Example(name, panels, layers)


def layer_panels(
    image: np.ndarray, predictions: list[Prediction], geometry: Geometry
) -> list[Panel]:
    """Draws the pixel-to-cluster assignment of every k-means layer and of the final predictor.

    Args:
        image: (H, W, 3) uint8 RGB, the image of a batch of one.
        predictions: k-means layers in order, the final prediction last.
        geometry: where the image lies in the network input.
    """
    panels = []
    for index, prediction in enumerate(predictions):
        mask_logits = prediction.mask_logits[0].float().cpu().numpy()  # (Q, h, w)
        clusters = len(np.unique(assignment_map(mask_logits, geometry)))
        final = index == len(predictions) - 1
        caption = "final" if final else f"k-means layer {index}"
        stride = _stride(mask_logits.shape[1:], geometry)
        remark = f"stride {stride}, {clusters} of {len(mask_logits)} clusters in use"
        panels.append(Panel(assignment_picture(mask_logits, image, geometry), caption, remark))
    return panels


def _stride(grid: tuple[int, int], geometry: Geometry) -> int:
    """Returns the pixels of the network input between neighbouring grid points."""
    corner = int(geometry.align_corners)
    return round((geometry.padded[1] - corner) / max(grid[1] - corner, 1))
