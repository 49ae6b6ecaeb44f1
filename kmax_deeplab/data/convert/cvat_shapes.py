"""Shapes as CVAT writes them: attributes of an XML element enter, (H, W) bool leaves."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.convert.outlines import draw_ellipse, draw_polygon


@dataclass(frozen=True)
class Shape:
    """A shape of an image.

    Attributes:
        kind: name of its element.
        label: name of its class.
        values: attributes of the element.
        iscrowd: whether it is one.
        group: number of its object; 0: it is one by itself.
        layer: a higher one lies above lower ones.
    """

    kind: str
    label: str
    values: Mapping[str, str]
    iscrowd: bool
    group: int
    layer: int


def draw_shape(shape: Shape, size: tuple[int, int], name: str) -> np.ndarray:
    """Draws a shape.

    Args:
        shape: a polygon, mask or ellipse.
        size: (height, width) of the image.
        name: of the shape, for whoever looks for it.

    Raises:
        ValueError: it is damaged or of another kind; it is named.
    """
    try:
        if shape.kind == "mask":
            return draw_mask(shape.values, size)
        if shape.kind == "polygon":
            pairs = [pair.split(",") for pair in shape.values["points"].split(";")]
            return draw_polygon([(float(x), float(y)) for x, y in pairs], size)
        if shape.kind == "ellipse":
            x, y, across, down = (float(shape.values[key]) for key in ("cx", "cy", "rx", "ry"))
            return draw_ellipse(
                (x, y), (across, down), size, float(shape.values.get("rotation", 0))
            )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    raise ValueError(f"{name}: this kind of shape is unknown")


def draw_mask(values: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    """Decodes a mask: run lengths of its box, row by row, outside first.

    Args:
        values: "rle", "3, 5, 7"; "left", "top", "width" and "height" of the box in pixels.
        size: (height, width) of the image.

    Raises:
        KeyError: a value lacks.
        ValueError: the run lengths do not fill the box, or the box leaves the image.
    """
    left, top, width, height = (int(values[key]) for key in ("left", "top", "width", "height"))
    if min(left, top) < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"its box leaves the image of (height, width) {size}")
    lengths = [int(length) for length in values["rle"].split(",")]
    if min(lengths) < 0 or sum(lengths) != width * height:
        raise ValueError(f"its run lengths cover {sum(lengths)} pixels of {width * height}")
    inside = (np.arange(len(lengths)) % 2 == 1).repeat(lengths).reshape(height, width)
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = inside
    return mask
