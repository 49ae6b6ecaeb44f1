"""Samples of a dataset: the report of its check enters, images beside their labels leave."""

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from kmax_deeplab.data.check.dataset_check import DatasetReport
from kmax_deeplab.data.check.json_check import Pair
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import open_picture
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.visualize.contact_sheet import contact_sheet
from kmax_deeplab.visualize.examples import Example, Panel
from kmax_deeplab.visualize.overlays import draw_panoptic

LONGEST_SIDE = 640
"""Pixels that images are shrunk to before their labels are drawn."""
DRAWN_DESPITE = frozenset({"exif-rotation", "id-not-in-png", "wrong-area", "wrong-bbox"})
"""Faults of files that do not keep them from being drawn."""


def draw_samples(report: DatasetReport, count: int, seed: int) -> list[Example]:
    """Draws random annotated images of a dataset and their labels.

    Args:
        report: says which images and PNGs are fit to be drawn.
        count: most images.
        seed: of the choice.

    Returns:
        An example with the panels "image" and "labels" of each.
    """
    sound = sound_pairs(report) if count else []
    if not sound:
        return []
    chosen = random.Random(seed).sample(sound, min(count, len(sound)))
    categories = Categories.from_json(report.content["categories"])
    return [draw_pair(pair, categories) for pair in tqdm(chosen, desc="samples", unit="image")]


def sound_pairs(report: DatasetReport) -> list[Pair]:
    """Returns the images of a dataset that are fit to be drawn with their labels."""
    if any(finding.kind == "bad-category" for finding in report.findings):
        return []
    broken = {f.file for f in report.findings if f.kind not in DRAWN_DESPITE}
    known = {category["id"] for category in report.content.get("categories", ())}
    return [
        pair
        for pair in report.pairs
        if not {pair.image_file, pair.png_file} & broken
        and {segment["category_id"] for segment in pair.annotation["segments_info"]} <= known
    ]


def sample_sheet(examples: Sequence[Example]) -> np.ndarray:
    """Puts the labels of samples on one sheet, (H, W, 3) uint8 RGB."""
    return contact_sheet([(each.name, each.panels[-1].picture) for each in examples])


def draw_pair(pair: Pair, categories: Categories) -> Example:
    """Draws an image and its labels, upright, shrunk to LONGEST_SIDE."""
    image = read_upright(pair.image_file)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    ids = Image.fromarray(read_ids(pair.png_file)).resize(image.size, Image.Resampling.NEAREST)
    pixels, segments = np.asarray(image), list_segments(pair, categories)
    picture = draw_panoptic(pixels, np.asarray(ids), segments, categories)
    return Example(pair.image["file_name"], [Panel(pixels, "image"), Panel(picture, "labels")])


def read_upright(path: str) -> Image.Image:
    """Reads an image as it is meant to be seen, in RGB."""
    with open_picture(path) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def list_segments(pair: Pair, categories: Categories) -> list[dict]:
    """Returns what is drawn of an image's segments, with the indices of their classes."""
    segments = []
    for segment in pair.annotation["segments_info"]:
        index = categories.contiguous[segment["category_id"]]
        is_thing = categories.is_thing[index]
        segments.append({"id": segment["id"], "category_id": index, "isthing": is_thing})
    return segments
