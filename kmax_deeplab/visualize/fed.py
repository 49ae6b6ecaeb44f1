"""What the network is fed: a training sample enters, a picture of it leaves.

Padding and what a crop left over are hatched; the targets are drawn as they are, on every fourth
pixel, so that what is too small to be learnt is missing.
"""

from collections.abc import Mapping

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.structures import VOID
from kmax_deeplab.visualize.overlays import draw_panoptic

STRIDE = 4
"""Of the grid of the targets."""
HATCH = 16
"""Pixels between the stripes over what is not real."""
DARK, LIGHT = 40, 90


def draw_sample(sample: Mapping, categories: Categories) -> np.ndarray:
    """Draws a sample of the training mapper.

    Args:
        sample: "image" (3, H, W) uint8, "is_real_pixels" (H, W) bool and "targets".
        categories: names and colours of the classes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = sample["image"].permute(1, 2, 0).numpy()
    targets = sample["targets"]
    segments = targets.segment_map[0].numpy()
    ids = np.where(segments == VOID, 0, segments + 1)
    height, width = image.shape[:2]
    ids = ids.repeat(STRIDE, 0).repeat(STRIDE, 1)[:height, :width]
    listed = [
        {"id": index + 1, "category_id": category, "isthing": categories.is_thing[category]}
        for index, category in enumerate(targets.classes.tolist())
    ]
    picture = draw_panoptic(image, ids, listed, categories)
    rows, columns = np.indices(ids.shape)
    stripes = np.where((rows + columns) // (HATCH // 2) % 2, LIGHT, DARK)
    return np.where(
        sample["is_real_pixels"].numpy()[..., None], picture, stripes[..., None]
    ).astype(np.uint8)


def describe_sample(sample: Mapping) -> str:
    """Returns a caption: how many segments, of which kind of image."""
    void = float((sample["targets"].segment_map[0] == VOID).float().mean())
    count = len(sample["targets"].classes)
    return f"{sample['image_id']}: {count} segments, {void:.0%} void"
