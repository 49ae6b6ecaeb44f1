"""Pictures of images with faults: which are shown, and what is drawn of each."""

import math
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.metrics.faults import ImageReport
from kmax_deeplab.metrics.folders import Compared
from kmax_deeplab.metrics.panoptic_quality import LabelledMap
from kmax_deeplab.visualize.examples import READABLE_SIDE, Example, Panel
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify, segment_titles
from kmax_deeplab.visualize.report.comparison import image_changes
from kmax_deeplab.visualize.report.error_map import COLORS, draw_faults
from kmax_deeplab.visualize.report.figures import show_example
from kmax_deeplab.visualize.report.sections import Side
from kmax_deeplab.visualize.report.tables import UNCHANGED, section, swatch
from kmax_deeplab.visualize.views import enlarge, hatch

LARGEST_SIDE = 1400
"""Pixels of the longer side of a picture in the page."""
WORST, BEST, CHANGED = 8, 3, 4
"""Images that are shown: those of least and greatest quality; of two runs, those that changed most,
in either direction."""
MEANING = {
    "missed": "missed: nothing found resembles it",
    "invented": "invented: nothing is there",
    "wrong class": "wrong class: the right place, another name",
    "poor shape": "poor shape: the right name, these pixels are wrong",
    "matched": "outline: found",
}
EXPLAINED = (
    "Numbers are those of the segments of a class: of the ground truth for what was missed, of the "
    "prediction for what was invented. Outlines of poor shapes are of both. Void is hatched. "
    "A click enlarges; arrow keys lead on."
)


def choose_images(sides: Sequence[Side]) -> dict[str, list[str]]:
    """Returns the names of the images to show, by title; none is shown twice.

    Args:
        sides: one run, or two.
    """
    known = [image for image in sides[0].report.images if not math.isnan(image.quality.pq)]
    ranked = [image.name for image in sorted(known, key=lambda image: image.quality.pq)]
    chosen = {}
    if len(sides) == 2:
        changes = image_changes(*sides)
        ordered = list(changes)
        chosen["Got worse"] = [n for n in ordered[:CHANGED] if changes[n] <= -UNCHANGED]
        chosen["Got better"] = [n for n in ordered[::-1][:CHANGED] if changes[n] >= UNCHANGED]
    chosen["Worst images"] = ranked[:WORST]
    chosen["Best images"] = ranked[::-1][:BEST]
    seen: set[str] = set()
    for title, names in chosen.items():
        chosen[title] = [name for name in names if name not in seen]
        seen.update(names)
    return chosen


def anchor_of(title: str) -> str:
    """Returns the anchor of a title, or of a name."""
    return re.sub(r"\W+", "-", title).lower()


def images_section(title: str, examples: Sequence[Example], name: str = "") -> str:
    """Shows images with truth, prediction and error map, and says what the colours mean.

    Args:
        title: of the section.
        examples: the images.
        name: of the run by which they were chosen, if there are two.
    """
    legend = "".join(f"<li>{swatch(COLORS[kind])}{text}</li>" for kind, text in MEANING.items())
    articles = "".join(show_example(e, f"image-{anchor_of(e.name)}") for e in examples)
    note = f"By {name}. {EXPLAINED}" if name else EXPLAINED
    body = f'<ul class="legend">{legend}</ul>{articles}' if examples else ""
    return section(anchor_of(title), title, note, body)


def draw_image(
    image: Compared, known: ImageReport, categories: Categories, name: str
) -> dict[str, Panel]:
    """Draws an image, its truth, what a run found in it and what is wrong with that.

    Args:
        image: with both.
        known: what is known of it.
        categories: of the dataset.
        name: of the run.

    Returns:
        "image", "truth", "prediction" and "errors".
    """
    pixels = image.pixels()
    factor = max(-(-READABLE_SIDE // min(pixels.shape[:2])), 1)
    large, maps, painted, numbers = magnify(pixels, factor), [], [], []
    for side in (image.truth, image.prediction):
        ids, listed = enlarge(side.ids, factor), _listed(side, categories)
        picture = draw_panoptic(large, ids, listed, categories)
        drawn = np.isin(ids, [segment["id"] for segment in listed])
        painted.append(hatch(picture, ~drawn))
        maps.append(ids)
        numbers.append({i: n for i, (_, n) in segment_titles(listed, categories).items()})
    crowds = [s["id"] for s in image.truth.segments_info if s.get("iscrowd", 0)]
    maps[0] = np.where(np.isin(maps[0], crowds), 0, maps[0]) if crowds else maps[0]
    errors = draw_faults(large, *maps, known.faults, tuple(numbers))
    counts = ", ".join(f"{count} {kind}" for kind, count in known.counts.items())
    quality = f"PQ {100 * known.quality.pq:.1f}: {counts}"
    return {
        "image": Panel(_fit(large), "image"),
        "truth": Panel(_fit(painted[0]), "ground truth"),
        "prediction": Panel(_fit(painted[1]), f"prediction of {name}"),
        "errors": Panel(_fit(errors), f"errors of {name}", quality),
    }


def arrange(name: str, drawn: Sequence[dict[str, Panel]]) -> Example:
    """Puts what one run, or two, made of an image in order: of two, one below the other."""
    first = drawn[0]
    if len(drawn) == 1:
        return Example(name, [first[kind] for kind in ("image", "truth", "prediction", "errors")])
    found, errors = ([each[kind] for each in drawn] for kind in ("prediction", "errors"))
    return Example(name, [first["image"], *found, first["truth"], *errors])


def _listed(labelled: LabelledMap, categories: Categories) -> list[dict]:
    return [
        {
            "id": segment["id"],
            "category_id": (index := categories.contiguous[segment["category_id"]]),
            "isthing": categories.is_thing[index],
        }
        for segment in labelled.segments_info
        if not segment.get("iscrowd", 0)
    ]


def _fit(picture: np.ndarray) -> np.ndarray:
    scale = LARGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = tuple(max(round(side * scale), 1) for side in picture.shape[1::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
