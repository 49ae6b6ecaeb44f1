"""Shows how pixels are clustered: who owns them at every k-means layer, and what each query says.

    python tools/visualize_clusters.py --weights output/model_final.pth --input photo.jpg

Written are, for each image, `NAME.clusters.png`, one page that explains itself, and an animation
(`--animation gif mp4`, or nothing). A model that looks at images in windows has clusters in each:
then the window in the middle is shown, or another part of the image (`--crop`).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from opening import add_model_options, open_predictor
from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.predict.images import name_images
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.sources import NamedImage
from kmax_deeplab.visualize.cluster_animation import animate, at_rate, write_gif
from kmax_deeplab.visualize.cluster_layers import read_layers
from kmax_deeplab.visualize.cluster_strip import draw_strip
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify
from kmax_deeplab.whole_files import write_png

READABLE_SIDE = 360
"""Shorter side in pixels up to which segments are enlarged, so that their names can be read."""
RATE = 25.0
"""Frames a second of the MP4."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument("--input", nargs="+", required=True, help="images, folders, or patterns")
    parser.add_argument("--output", type=Path, default=Path("output/clusters"), help="folder")
    parser.add_argument("--tile", type=int, help="side of the window in pixels; 0: whole images")
    parser.add_argument(
        "--crop", nargs=4, type=int, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"), help="in pixels"
    )
    parser.add_argument("--animation", nargs="*", choices=["gif", "mp4"], default=["gif"])
    return parser.parse_args(arguments)


def part_of(pixels: np.ndarray, crop: list[int] | None, tile: int) -> np.ndarray:
    """Returns the part of an image that is shown.

    Args:
        pixels: (H, W, 3) uint8.
        crop: left, top, width and height in pixels, as asked for.
        tile: side of the windows in which the model looks, or 0.

    Raises:
        ValueError: there is no such part.
    """
    height, width = pixels.shape[:2]
    side = tile or max(height, width)
    middle = [max(width - side, 0) // 2, max(height - side, 0) // 2, side, side]
    left, top, across, down = crop or middle
    if min(left, top) < 0 or min(across, down) < 1 or left >= width or top >= height:
        raise ValueError(f"--crop {left} {top} {across} {down}: the image is {width} × {height}")
    return np.ascontiguousarray(pixels[top : top + down, left : left + across])


def draw(predict: Predictor, path: Path, args: argparse.Namespace, base: Path) -> None:
    """Draws the page of an image, and its animation."""
    tile = predict.inputs.tile
    pixels = part_of(predict.read(path).pixels, args.crop, tile)
    if tile and max(pixels.shape[:2]) > tile:
        raise ValueError(f"--crop: the model looks at windows of {tile} pixels (--tile), no larger")
    image = NamedImage(str(path), pixels)
    glances = list(predict.look(image))
    found = predict.decide(image, glances)
    layers = read_layers(glances[0].layers, glances[0].geometry)
    factor = max(-(-READABLE_SIDE // min(pixels.shape[:2])), 1)
    ids = found.panoptic.repeat(factor, axis=0).repeat(factor, axis=1)
    large = magnify(pixels, factor)
    segments = draw_panoptic(large, ids, found.segments_info, found.categories)
    size = f"{pixels.shape[1]} × {pixels.shape[0]}"
    title = f"{path.name}: how {predict.num_queries} queries share {size} pixels"
    page = draw_strip(pixels, layers, segments, found.categories, title)
    write_png(base.with_name(f"{base.name}.clusters.png"), page)
    frames = list(animate(pixels, layers, segments)) if args.animation else []
    if "gif" in args.animation:
        write_gif(base.with_name(f"{base.name}.clusters.gif"), frames)
    if "mp4" in args.animation:
        # Only videos need OpenCV.
        from kmax_deeplab.predict.video import write_video

        path = base.with_name(f"{base.name}.clusters.mp4")
        for _ in write_video(path, at_rate(frames, RATE), RATE):
            pass


def run(args: argparse.Namespace) -> None:
    """Draws all pages."""
    named = name_images(args.input)
    predict = open_predictor(args)[0]
    if args.tile is not None:
        predict.inputs = replace(predict.inputs, tile=args.tile)
    for name, path in tqdm(named.items(), unit="image"):
        draw(predict, path, args, args.output / name)
    print(f"{args.output}: {len(named)} pages, *.clusters.png")


def main(arguments: list[str] | None = None) -> None:
    """Draws."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
