"""Finding faults in predictions on disk: folders enter, the sections of a report leave."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.metrics.faults import DatasetReport, ImageReport
from kmax_deeplab.metrics.folders import Compared, Labelled, read_categories_of, read_compared
from kmax_deeplab.metrics.panoptic_quality import LabelledMap
from kmax_deeplab.visualize.examples import READABLE_SIDE, Example, Panel
from kmax_deeplab.visualize.fault_map import draw_faults
from kmax_deeplab.visualize.fault_page import (
    Side,
    class_table,
    comparison,
    confusion_table,
    images_section,
    size_table,
)
from kmax_deeplab.visualize.overlays import draw_panoptic, magnify
from kmax_deeplab.visualize.scores import Score, read_scores

LARGEST_SIDE = 1400
"""Pixels of the longer side of a picture in the page."""
WORST, BEST, CHANGED = 8, 3, 4
"""Images that are shown: those of least and greatest quality; of two runs, those that changed most,
in either direction."""
Sections = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Predictions:
    """Predictions of a dataset.

    Attributes:
        name: what to call them.
        path: JSON of COCO's panoptic format, or a folder with `predictions.json`.
        is_part: whether images without a prediction are left out, as they were when predicting.
    """

    name: str
    path: Path
    is_part: bool = False

    def read(self, truth: Labelled) -> Iterable[Compared]:
        """Reads them beside the truth."""
        return read_compared(self.path, truth, is_part=self.is_part)


def examine(predictions: Predictions, truth: Labelled) -> Side:
    """Compares all images of a dataset with their truth, and shows how far it is.

    Raises:
        FileNotFoundError, ValueError: files are missing, or contradict each other.
    """
    report = DatasetReport(read_categories_of(truth))
    compared = tqdm(predictions.read(truth), unit="image", desc=f"Comparing {predictions.name}")
    for image in compared:
        report.add(image.prediction, image.truth, image.name)
    return Side(predictions.name, report)


def fault_sections(truth: Labelled, predictions: Sequence[Predictions]) -> tuple[Sections, Side]:
    """Makes the sections of a report that find faults.

    Args:
        truth: the dataset.
        predictions: of one run, or of two that are compared.

    Returns:
        Title and HTML by anchor, and what is known of the first run.
    """
    sides = [examine(each, truth) for each in predictions]
    chosen = _choose(sides)
    drawn = _draw(truth, predictions, sides, {name for names in chosen.values() for name in names})
    sections = {
        "classes": ("By class", class_table(sides[0])),
        "sizes": ("By size", size_table(sides[0])),
        "confusion": ("Confusion", confusion_table(sides[0])),
    }
    if len(sides) == 2:
        sections["comparison"] = ("Two runs", comparison(*sides))
    for title, names in chosen.items():
        if names:
            anchor = title.lower().replace(" ", "-")
            examples = [drawn[name] for name in names]
            sections[anchor] = (title, images_section(title, anchor, examples))
    return sections, sides[0]


def scores_of(side: Side) -> list[Score]:
    """Returns the scores for the head of a page, in percent."""
    report, results = side.report, {}
    for group, suffix in (("all", ""), ("things", "_th"), ("stuff", "_st")):
        results |= _named(report.qualities[group], suffix)
    for category in report.categories:
        results |= _named(report.by_category[category["id"]], f"-{category['name']}")
    return read_scores(results, Categories.from_json(report.categories))


def _named(quality: object, suffix: str) -> dict[str, float]:
    values = {"PQ": quality.pq, "SQ": quality.sq, "RQ": quality.rq}
    return {name + suffix: 100 * value for name, value in values.items()}


def _choose(sides: Sequence[Side]) -> dict[str, list[str]]:
    """Returns the names of the images to show under each title."""
    ranked = [image for image in sides[0].report.images if not math.isnan(image.quality.pq)]
    ranked.sort(key=lambda image: image.quality.pq)
    names = [image.name for image in ranked]
    worst = names[:WORST]
    chosen = {
        "Worst images": worst,
        "Best images": [n for n in names[::-1][:BEST] if n not in worst],
    }
    if len(sides) == 2:
        after = {image.name: image.quality.pq for image in sides[1].report.images}
        change = {i.name: after.get(i.name, math.nan) - i.quality.pq for i in ranked}
        changed = sorted((n for n in change if not math.isnan(change[n])), key=change.get)
        chosen["Got worse"] = [n for n in changed[:CHANGED] if change[n] < 0]
        chosen["Got better"] = [n for n in changed[::-1][:CHANGED] if change[n] > 0]
    return chosen


def _draw(
    truth: Labelled, predictions: Sequence[Predictions], sides: Sequence[Side], names: set[str]
) -> dict[str, Example]:
    drawn: dict[str, Example] = {}
    categories = Categories.from_json(sides[0].report.categories)
    for each, side in zip(predictions, sides, strict=True):
        known = {image.name: image for image in side.report.images}
        for image in each.read(truth):
            if image.name in names:
                panels = _panels(image, known[image.name], categories, each.name)
                if image.name in drawn:
                    drawn[image.name].panels.extend(panels[2:])
                else:
                    drawn[image.name] = Example(image.name, panels)
    return drawn


def _panels(image: Compared, known: ImageReport, categories: Categories, name: str) -> list[Panel]:
    pixels = image.pixels()
    factor = max(-(-READABLE_SIDE // min(pixels.shape[:2])), 1)
    large = magnify(pixels, factor)
    truth, found = (
        each.ids.repeat(factor, 0).repeat(factor, 1) for each in (image.truth, image.prediction)
    )
    counts = ", ".join(f"{count} {kind}" for kind, count in known.counts.items())
    quality = f"PQ {100 * known.quality.pq:.1f}, {counts}"
    faults = draw_faults(large, truth, found, known.faults)
    painted = [
        draw_panoptic(large, ids, _listed(each, categories), categories)
        for ids, each in ((truth, image.truth), (found, image.prediction))
    ]
    return [
        Panel(_fit(large), "image"),
        Panel(_fit(painted[0]), "ground truth"),
        Panel(_fit(painted[1]), f"prediction of {name}"),
        Panel(_fit(faults), f"errors of {name}", quality),
    ]


def _listed(labelled: LabelledMap, categories: Categories) -> list[dict]:
    index = {category_id: i for i, category_id in enumerate(categories.ids)}
    return [
        {
            "id": s["id"],
            "category_id": (i := index[s["category_id"]]),
            "isthing": categories.is_thing[i],
        }
        for s in labelled.segments_info
        if not s.get("iscrowd", 0)
    ]


def _fit(picture: np.ndarray) -> np.ndarray:
    scale = LARGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = tuple(round(side * scale) for side in picture.shape[1::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
