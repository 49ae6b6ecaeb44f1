"""Pictures of what a check found: findings enter, images with the place that is meant leave."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from kmax_deeplab.data.check.dataset_check import DatasetReport
from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.check.json_check import Pair
from kmax_deeplab.data.check.label_noise import ALL_NEIGHBOURS
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.visualize.examples import Example, Panel, enlargement
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify
from kmax_deeplab.visualize.samples import (
    LONGEST_SIDE,
    draw_pair,
    list_segments,
    read_upright,
    sound_pairs,
)
from kmax_deeplab.visualize.views import CHOSEN, enlarge, point_out

MOST_PICTURED = 4
"""Findings of a kind that are drawn."""
LEAST_WINDOW = 48
"""Pixels of the least window around a segment that is shown by itself."""


def draw_findings(
    findings: Sequence[Finding], reports: Sequence[DatasetReport]
) -> Iterator[tuple[Finding, Example]]:
    """Draws the first findings of each kind that have something to be seen.

    Args:
        findings: any.
        reports: of the datasets that they are about.
    """
    counts: dict[str, int] = {}
    chosen = []
    for finding in findings:
        if finding.beside or finding.segments:
            counts[finding.kind] = counts.get(finding.kind, 0) + 1
            if counts[finding.kind] <= MOST_PICTURED:
                chosen.append(finding)
    known = _find_pairs({finding.file for finding in chosen}, reports)
    for finding in chosen:
        if finding.beside:
            yield finding, _draw_beside(finding)
        elif finding.file in known:
            yield finding, _draw_segment(finding, *known[finding.file])


def _find_pairs(
    pngs: set[str], reports: Sequence[DatasetReport]
) -> Mapping[str, tuple[Pair, Categories]]:
    return {
        pair.png_file: (pair, Categories.from_json(report.content["categories"]))
        for report in reports
        for pair in sound_pairs(report)
        if pair.png_file in pngs
    }


def _draw_beside(finding: Finding) -> Example:
    """Draws two images that are the same."""
    panels = []
    for path in (finding.beside, finding.file):
        image = read_upright(path)
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        panels.append(Panel(np.asarray(image), Path(path).name, path))
    return Example(f"{finding.kind}: {Path(finding.file).name}", panels)


def _draw_segment(finding: Finding, pair: Pair, categories: Categories) -> Example:
    """Draws a labelled image, and what surrounds the first segment that is meant, or its speck."""
    meant, ids = finding.segments[0], read_ids(pair.png_file)
    mask = ids == meant
    if finding.kind == "specks":
        pieces, _ = ndimage.label(mask, ALL_NEIGHBOURS)
        mask = pieces == np.bincount(pieces.ravel()).argmin()
    boxes = ndimage.find_objects(mask.astype(np.uint8))[0]
    side = max(LEAST_WINDOW, *(2 * (box.stop - box.start) for box in boxes))
    rows, columns = (
        _window((box.start + box.stop) // 2, side, length)
        for box, length in zip(boxes, ids.shape, strict=True)
    )
    whole = draw_pair(pair, categories).panels[-1].picture
    marked = _mark(whole, rows, columns, len(whole) / len(ids))
    pixels, near = np.asarray(read_upright(pair.image_file))[rows, columns], ids[rows, columns]
    factor = enlargement(pixels)
    large, places = magnify(pixels, factor), enlarge(near, factor)
    there = set(np.unique(near).tolist())
    segments = [s for s in list_segments(pair, categories) if s["id"] in there]
    pointed = point_out(draw_panoptic(large, places, segments, categories), places, meant)
    panels = [
        Panel(marked, "labels"),
        Panel(large, "image, in the frame"),
        Panel(pointed, "labels, in the frame", f"segment {meant}"),
    ]
    return Example(f"{finding.kind}: {pair.image['file_name']}", panels)


def _window(center: int, side: int, length: int) -> slice:
    start = min(max(center - side // 2, 0), max(length - side, 0))
    return slice(start, min(start + side, length))


def _mark(picture: np.ndarray, rows: slice, columns: slice, scale: float) -> np.ndarray:
    """Draws a frame around a window; the picture is smaller by `scale` than what it lies in."""
    canvas = Image.fromarray(picture)
    corners = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
    box = tuple(int(scale * corner) for corner in corners)
    ImageDraw.Draw(canvas).rectangle(
        box, outline=CHOSEN, width=max(min(picture.shape[:2]) // 150, 1)
    )
    return np.asarray(canvas)
