"""How clusters settle, as an animation: k-means layers enter, frames with durations leave."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmax_deeplab.visualize.cluster_layers import ClusterLayer, changed_pixels
from kmax_deeplab.visualize.cluster_strip import paint_layer
from kmax_deeplab.whole_files import whole_file

SIDE = 480
"""Pixels to which the longer side of small images is enlarged, by a whole factor."""
BAR = 44
"""Height of the captions in pixels."""
STILL, FADE, STEPS = 1000, 60, 4
"""Milliseconds of a layer, and of each of so many steps from it to the next."""
Frame = tuple[np.ndarray, int]
"""(H, W, 3) uint8 RGB, and milliseconds."""


def animate(
    image: np.ndarray, layers: Sequence[ClusterLayer], segments: np.ndarray
) -> Iterator[Frame]:
    """Yields the frames: the image, each layer, the segments.

    Args:
        image: (H, W, 3) uint8 RGB.
        layers: see `read_layers`.
        segments: (H, W, 3) uint8 RGB, the image with its segments, or a multiple of its size.
    """
    scenes = [("the image", "", image)]
    changes = [
        "",
        *(f"{100 * share:.2g} % of the pixels changed hands" for share in changed_pixels(layers)),
    ]
    for layer, change in zip(layers, changes, strict=True):
        name = "final assignment" if layer is layers[-1] else f"k-means {layer.name}"
        counts = f"{len(layer.owners)} queries own pixels, {len(layer.found)} say what they are"
        heading = f"{name}, stride {layer.stride}"
        scenes.append(
            (heading, "; ".join(filter(None, (counts, change))), paint_layer(layer, image))
        )
    scenes.append(("segments", f"{len(layers[-1].found)} queries have found something", segments))
    factor = max(-(-SIDE // max(image.shape[:2])), 1)
    size = image.shape[1] * factor, image.shape[0] * factor
    pictures = [
        Image.fromarray(picture).resize(size, _way(picture, image)) for *_, picture in scenes
    ]
    for index, (heading, said, _) in enumerate(scenes):
        if index:
            for step in range(1, STEPS + 1):
                mixed = Image.blend(*pictures[index - 1 : index + 1], step / (STEPS + 1))
                yield _caption(mixed, heading, said), FADE
        last = index == len(scenes) - 1
        yield _caption(pictures[index], heading, said), STILL * (1 + 2 * last)


def _way(picture: np.ndarray, image: np.ndarray) -> Image.Resampling:
    same = picture.shape == image.shape
    return Image.Resampling.NEAREST if same else Image.Resampling.LANCZOS


def _caption(picture: Image.Image, heading: str, said: str) -> np.ndarray:
    canvas = Image.new("RGB", (max(picture.width, SIDE), picture.height + BAR), (24, 24, 28))
    canvas.paste(picture, ((canvas.width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for text, top, size, color in ((heading, 4, 15, (240, 240, 240)), (said, 24, 12, (170,) * 3)):
        font = ImageFont.load_default(size=size)
        draw.text((8, picture.height + top), text, fill=color, font=font)
    return np.asarray(canvas)


def write_gif(path: str | Path, frames: Sequence[Frame]) -> None:
    """Writes a GIF that goes on for ever, and is never half there."""
    pictures = [Image.fromarray(picture) for picture, _ in frames]
    with whole_file(path) as partial:
        pictures[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=[duration for _, duration in frames],
            loop=0,
        )


def at_rate(frames: Sequence[Frame], fps: float) -> Iterator[np.ndarray]:
    """Repeats frames as often as a video of a rate needs for their durations."""
    until = shown = 0.0
    for picture, duration in frames:
        until += duration / 1000
        while shown < until:
            yield picture
            shown += 1 / fps
