"""Samples of a dataset: the report of its check enters, a sheet of labelled images leaves."""

import random

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from kmax_deeplab.data.check.dataset_check import DatasetReport
from kmax_deeplab.data.check.json_check import Pair
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import open_picture
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.visualize.contact_sheet import contact_sheet
from kmax_deeplab.visualize.overlays import draw_panoptic

LONGEST_SIDE = 640
"""Pixels that images are shrunk to before their labels are drawn."""
DRAWN_DESPITE = frozenset({"exif-rotation", "id-not-in-png", "wrong-area", "wrong-bbox"})
"""Faults of files that do not keep them from being drawn."""


def draw_samples(report: DatasetReport, count: int, seed: int) -> np.ndarray | None:
    """Draws random annotated images of a dataset with their labels.

    Args:
        report: says which images and PNGs are fit to be drawn.
        count: most images.
        seed: of the choice.

    Returns:
        (H, W, 3) uint8 RGB, or None if no image is fit.
    """
    if not count or any(finding.kind == "bad-category" for finding in report.findings):
        return None
    broken = {f.file for f in report.findings if f.kind not in DRAWN_DESPITE}
    known = {category["id"] for category in report.content.get("categories", ())}
    sound = [
        pair
        for pair in report.pairs
        if not {pair.image_file, pair.png_file} & broken
        and {segment["category_id"] for segment in pair.annotation["segments_info"]} <= known
    ]
    if not sound:
        return None
    chosen = random.Random(seed).sample(sound, min(count, len(sound)))
    categories = Categories.from_json(report.content["categories"])
    progress = tqdm(chosen, desc="samples", unit="image")
    return contact_sheet([(p.image["file_name"], draw_pair(p, categories)) for p in progress])


def draw_pair(pair: Pair, categories: Categories) -> np.ndarray:
    """Draws an image with its labels, upright, shrunk to LONGEST_SIDE: (H, W, 3) uint8 RGB."""
    with open_picture(pair.image_file) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    ids = Image.fromarray(read_ids(pair.png_file)).resize(image.size, Image.Resampling.NEAREST)
    segments = []
    for segment in pair.annotation["segments_info"]:
        index = categories.contiguous[segment["category_id"]]
        is_thing = categories.is_thing[index]
        segments.append({"id": segment["id"], "category_id": index, "isthing": is_thing})
    return draw_panoptic(np.asarray(image), np.asarray(ids), segments, categories)
