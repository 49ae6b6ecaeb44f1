"""One image of a report: image and segmentations enter, captioned pictures leave."""

from dataclasses import dataclass, field

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify
from kmax_deeplab.visualize.views import enlarge, hatch

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
        layers: see `query_panels.layer_panels`.
    """
    factor = enlargement(image)
    large = magnify(image, factor)
    panels = [Panel(large, "image")]
    for caption, segmentation in segmentations.items():
        panoptic = enlarge(segmentation.panoptic, factor)
        picture = draw_panoptic(large, panoptic, segmentation.segments_info, categories)
        listed = [segment["id"] for segment in segmentation.segments_info]
        panels.append(Panel(hatch(picture, ~np.isin(panoptic, listed)), caption))
    return Example(name, panels, layers)


def enlargement(image: np.ndarray) -> int:
    """Returns the whole factor by which an image, (H, W, …), grows until names are readable."""
    return max(-(-READABLE_SIDE // min(image.shape[:2])), 1)
