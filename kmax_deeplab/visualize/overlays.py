"""Panoptic pictures: an image and its segments enter, a painted copy of the image leaves.

Every class has its colour, instances of a thing are told apart by shade, segments are outlined and
named where their name fits, and void is dimmed. Ground truth and predictions are painted alike.
Drawing is deterministic: the same segments always give the same picture.
"""

import colorsys
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

from kmax_deeplab.data.categories import Categories

OPACITY = 0.65
"""Share of the segment colour in a painted pixel; the rest is the image's brightness."""
VOID_BRIGHTNESS = 0.4
"""Factor on pixels of no segment, which keep their own colour."""
SHADES = ((0.0, 1.0), (0.045, 0.72), (-0.045, 1.25), (0.09, 0.88), (-0.09, 0.6), (0.0, 1.45))
"""(hue shift in turns, brightness factor) of the first, second, ... instance of a thing class."""


def magnify(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges a picture smoothly, so that labels have room on small images.

    Args:
        image: (H, W, 3) uint8.
        factor: whole factor, at least 1.

    Returns:
        (factor * H, factor * W, 3) uint8.
    """
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def segment_colors(
    segments_info: list[dict], categories: Categories
) -> dict[int, tuple[int, int, int]]:
    """Gives every segment its class colour, shaded by its rank among the things of that class.

    Returns:
        RGB in [0, 255] for each segment id.

    Raises:
        KeyError: a segment's class is not one of `categories`.
    """
    seen: Counter[int] = Counter()
    colors = {}
    for segment in segments_info:
        category = segment["category_id"]
        if not 0 <= category < len(categories):
            raise KeyError(
                f"segment {segment['id']} has category_id {category}, but the dataset has the "
                f"contiguous classes 0 to {len(categories) - 1}"
            )
        rank = seen[category] if segment["isthing"] else 0
        colors[segment["id"]] = _shade(categories.colors[category], rank)
        seen[category] += 1
    return colors


def _shade(color: tuple[int, int, int], rank: int) -> tuple[int, int, int]:
    hue_shift, brightness = SHADES[rank % len(SHADES)]
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in color))
    rgb = colorsys.hsv_to_rgb((hue + hue_shift) % 1.0, saturation, min(value * brightness, 1.0))
    return tuple(round(255 * channel) for channel in rgb)


def boundaries(panoptic: np.ndarray) -> np.ndarray:
    """Marks pixels whose right or lower neighbour belongs to another segment.

    Args:
        panoptic: (H, W) integer ids.

    Returns:
        (H, W) bool.
    """
    edge = np.zeros(panoptic.shape, dtype=bool)
    edge[:, :-1] |= panoptic[:, :-1] != panoptic[:, 1:]
    edge[:-1] |= panoptic[:-1] != panoptic[1:]
    return edge


def draw_panoptic(
    image: np.ndarray, panoptic: np.ndarray, segments_info: list[dict], categories: Categories
) -> np.ndarray:
    """Paints the segments of one image over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        panoptic: (H, W) integer segment ids; ids that `segments_info` does not list are void.
        segments_info: per segment "id", "category_id" (contiguous) and "isthing".
        categories: names and colours of the classes.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ValueError: image and id map differ in size.
        KeyError: a segment's class is not one of `categories`.
    """
    if image.shape[:2] != panoptic.shape:
        raise ValueError(
            f"image of {image.shape[:2]} pixels with a panoptic map of {panoptic.shape}: "
            "both must have the same (height, width)"
        )
    picture = image * VOID_BRIGHTNESS  # (H, W, 3) float
    brightness = image.mean(axis=2, keepdims=True)  # (H, W, 1)
    colors = segment_colors(segments_info, categories)
    for segment_id, color in colors.items():
        mask = panoptic == segment_id
        picture[mask] = (1 - OPACITY) * brightness[mask] + OPACITY * np.array(color)
    picture[boundaries(panoptic)] = 255
    canvas = Image.fromarray(picture.round().astype(np.uint8))
    for segment in segments_info:
        name = categories.names[segment["category_id"]]
        _write_name(canvas, panoptic == segment["id"], name, colors[segment["id"]])
    return np.asarray(canvas).copy()


def _write_name(
    canvas: Image.Image, mask: np.ndarray, name: str, color: tuple[int, int, int]
) -> None:
    """Writes a segment's name on a plate in its innermost place, if the segment is larger."""
    font = ImageFont.load_default(size=max(10, min(canvas.size) // 26))
    left, top, right, bottom = font.getbbox(name)
    plate = np.array([right - left + 8, bottom - top + 6])  # (width, height) in pixels
    if mask.sum() < 1.5 * plate.prod():
        return
    center = _innermost(mask)
    x, y = np.clip(center - plate // 2, 0, np.maximum(np.array(canvas.size) - plate, 0)).tolist()
    box = (x, y, x + int(plate[0]), y + int(plate[1]))
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle(box, radius=4, fill=tuple(int(0.45 * channel) for channel in color))
    draw.text((x + 4 - left, y + 3 - top), name, fill=(255, 255, 255), font=font)


def _innermost(mask: np.ndarray) -> np.ndarray:
    """Returns (x, y) of the pixel of a mask that is farthest from everything outside it."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    inside = np.pad(mask[top : rows.max() + 1, left : columns.max() + 1], 1)
    depth = distance_transform_edt(inside)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([left + x, top + y])
