"""Panoptic pictures: an image and its segments enter, a painted copy of the image leaves.

Every class has its colour, and instances of a thing are told apart by shade, by the colour of their
outline and by a number, which all larger pieces of an instance bear: what was merged or split
shows. Names are written where they fit, and void is dimmed. Ground truth and predictions are
painted alike. Drawing is deterministic: the same segments always give the same picture.
"""

import colorsys
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from kmax_deeplab.data.format.categories import Categories

OPACITY = 0.65
"""Share of the segment colour in a painted pixel; the rest is the image's brightness."""
VOID_BRIGHTNESS = 0.4
"""Factor on pixels of no segment, which keep their own colour."""
SHADES = ((0.0, 1.0), (0.045, 0.72), (-0.045, 1.25), (0.09, 0.88), (-0.09, 0.6), (0.0, 1.45))
"""(hue shift in turns, brightness factor) of the first, second, ... instance of a thing class."""
GOLDEN_TURN = 0.618034
"""Turns of hue between the outlines of one instance and the next; its multiples spread evenly."""
ROWS = 256
"""That are painted at once: a large image in floats would take many times its memory."""
FEW_IDS = 2**20
"""Up to which a list of all ids is shorter than sorting the pixels of an image."""
LARGE_MASK = 2**22
"""Pixels of a mask's box from which on places for its name are looked for on a coarser grid."""
SMALLER = 0.6
"""Scale of numbers that do not fit otherwise."""
LONGEST_NAME = 24
"""Characters of a class name that are written."""


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
    colors, numbers = {}, segment_numbers(segments_info)
    for segment in segments_info:
        category = segment["category_id"]
        if not 0 <= category < len(categories):
            raise KeyError(
                f"segment {segment['id']} has category_id {category}, but the dataset has the "
                f"contiguous classes 0 to {len(categories) - 1}"
            )
        rank = numbers[segment["id"]] - 1 if segment["isthing"] else 0
        colors[segment["id"]] = _shade(categories.colors[category], rank)
    return colors


def segment_numbers(segments_info: list[dict]) -> dict[int, int]:
    """Returns which of its class each segment is, by id: its "number" if it has one, or its rank.

    Both count from 1.
    """
    seen: Counter[int] = Counter()
    numbers = {}
    for segment in segments_info:
        seen[segment["category_id"]] += 1
        numbers[segment["id"]] = segment.get("number", seen[segment["category_id"]])
    return numbers


def outline_color(rank: int) -> tuple[int, int, int]:
    """Returns the bright RGB colour around the first, second, … instance of a class."""
    rgb = colorsys.hsv_to_rgb((0.15 + rank * GOLDEN_TURN) % 1.0, 0.85, 1.0)
    return tuple(round(255 * channel) for channel in rgb)


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
        segments_info: per segment "id", "category_id" (contiguous), "isthing" and perhaps "number"
            (see `segment_numbers`).
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
    colors, boxes = segment_colors(segments_info, categories), find_boxes(panoptic)
    masks = {i: panoptic[boxes[i]] == i for i in colors if i in boxes}
    picture = _paint(image, masks, boxes, colors)
    picture[boundaries(panoptic)] = 255
    titles, numbers = segment_titles(segments_info, categories), segment_numbers(segments_info)
    for segment in segments_info:
        number = segment["id"]
        if segment["isthing"] and number in masks:
            mask = masks[number]
            outline = mask & ~ndimage.binary_erosion(mask)
            picture[boxes[number]][outline] = outline_color(numbers[number] - 1)
    canvas = Image.fromarray(picture)
    for number, mask in masks.items():
        rows, columns = boxes[number]
        corner = np.array([columns.start, rows.start])
        _write_labels(canvas, mask, corner, *titles[number], colors[number])
    for top in range(0, len(picture), ROWS):
        strip = picture[top : top + ROWS]
        strip[:] = np.asarray(canvas.crop((0, top, strip.shape[1], top + len(strip))))
    return picture


def _paint(
    image: np.ndarray,
    masks: dict[int, np.ndarray],
    boxes: dict[int, tuple[slice, slice]],
    colors: dict[int, tuple[int, int, int]],
) -> np.ndarray:
    """Tints the segments of an image and dims the rest, a few rows at a time."""
    picture = np.empty_like(image)
    for top in range(0, len(image), ROWS):
        strip = slice(top, min(top + ROWS, len(image)))
        picture[strip] = (image[strip] * VOID_BRIGHTNESS).round()
    for number, mask in masks.items():
        rows, columns = boxes[number]
        color = OPACITY * np.array(colors[number])
        for top in range(0, len(mask), ROWS):
            part = mask[top : top + ROWS]
            place = slice(rows.start + top, rows.start + top + len(part)), columns
            brightness = image[place][part].mean(axis=1, keepdims=True)  # (pixels, 1)
            picture[place][part] = ((1 - OPACITY) * brightness + color).round()
    return picture


def segment_titles(segments_info: list[dict], categories: Categories) -> dict[int, tuple[str, str]]:
    """Returns by id what segments are called: their class, and the number of a thing, or ""."""
    numbers, titles = segment_numbers(segments_info), {}
    for segment in segments_info:
        number = str(numbers[segment["id"]]) if segment["isthing"] else ""
        titles[segment["id"]] = _one_line(categories.names[segment["category_id"]]), number
    return titles


def find_boxes(panoptic: np.ndarray) -> dict[int, tuple[slice, slice]]:
    """Returns in which rows and columns of an (H, W) map of segments each id lies."""
    if 0 <= panoptic.min() <= panoptic.max() <= FEW_IDS:
        boxes = enumerate(ndimage.find_objects(panoptic), start=1)
        return {i: box for i, box in boxes if box is not None}
    ids, places = np.unique(panoptic, return_inverse=True)
    boxes = ndimage.find_objects(places.reshape(panoptic.shape) + 1)
    return dict(zip(ids.tolist(), boxes, strict=True))


def count_pixels(ids: np.ndarray, most: int) -> np.ndarray:
    """Counts the pixels of each number from 0 to `most` in an (H, W) map, a few rows at a time."""
    strips = (ids[top : top + ROWS].ravel() for top in range(0, len(ids), ROWS))
    return sum(np.bincount(strip, minlength=most + 1) for strip in strips)


def _one_line(name: str) -> str:
    words = " ".join(name.split())
    return words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1] + "…"


def _write_labels(
    canvas: Image.Image,
    mask: np.ndarray,
    corner: np.ndarray,
    name: str,
    number: str,
    color: tuple[int, int, int],
) -> None:
    """Writes name and number on the largest piece of a segment, its number on the others.

    Args:
        mask: (h, w) bool, the segment in its box.
        corner: (x, y) of the box on the canvas.
    """
    step = int(np.sqrt(mask.size / LARGE_MASK)) + 1
    mask = mask[::step, ::step]
    pieces, count = ndimage.label(mask)
    boxes = ndimage.find_objects(pieces)
    areas = count_pixels(pieces, count)[1:]
    for position, index in enumerate(np.argsort(-areas, kind="stable")):
        rows, columns = boxes[index]
        piece = pieces[rows, columns] == index + 1
        place = np.add(corner, (step * columns.start, step * rows.start))
        full = f"{name} {number}".strip() if position == 0 else number
        if write_inside(canvas, piece, place, full, color, step) or not number:
            continue
        if position or not write_inside(canvas, piece, place, number, color, step):
            write_inside(canvas, piece, place, number, color, step, scale=SMALLER)


def write_inside(
    canvas: Image.Image,
    mask: np.ndarray,
    corner: np.ndarray,
    text: str,
    color: tuple[int, int, int],
    step: int = 1,
    *,
    scale: float = 1.0,
) -> bool:
    """Writes a text on a plate in the innermost place of a mask; returns whether it fits there.

    Args:
        canvas: to write on.
        mask: (h, w) bool.
        corner: (x, y) of the mask on the canvas.
        text: of one line.
        color: RGB of the plate, which is darker.
        step: pixels of the canvas between those of the mask.
        scale: of the letters.
    """
    font = ImageFont.load_default(size=max(10, int(scale * (min(canvas.size) // 26))))
    left, top, right, bottom = font.getbbox(text)
    plate = np.array([right - left + 8, bottom - top + 6])  # (width, height) in pixels
    if not text or step**2 * mask.sum() < 1.5 * plate.prod():
        return False
    center = corner + step * _innermost(mask)
    x, y = np.clip(center - plate // 2, 0, np.maximum(np.array(canvas.size) - plate, 0)).tolist()
    box = (x, y, x + int(plate[0]), y + int(plate[1]))
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle(box, radius=4, fill=tuple(int(0.45 * channel) for channel in color))
    draw.text((x + 4 - left, y + 3 - top), text, fill=(255, 255, 255), font=font)
    return True


def _innermost(mask: np.ndarray) -> np.ndarray:
    """Returns (x, y) of the pixel of a mask that is farthest from everything outside it."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    inside = np.pad(mask[top : rows.max() + 1, left : columns.max() + 1], 1)
    depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([left + x, top + y])
