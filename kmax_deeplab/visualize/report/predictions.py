"""Finding faults in predictions on disk: folders enter, the sections of a report leave."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.metrics.faults import DatasetReport
from kmax_deeplab.metrics.folders import Compared, Labelled, read_categories_of, read_compared
from kmax_deeplab.visualize.examples import Example, Panel
from kmax_deeplab.visualize.report.comparison import comparison_section
from kmax_deeplab.visualize.report.curves import Curve, read_metrics
from kmax_deeplab.visualize.report.images import (
    anchor_of,
    arrange,
    choose_images,
    draw_image,
    images_section,
)
from kmax_deeplab.visualize.report.page import Report
from kmax_deeplab.visualize.report.run_facts import facts_of_page
from kmax_deeplab.visualize.report.scores import GROUPS, MEASURES, Score, read_scores
from kmax_deeplab.visualize.report.sections import (
    Side,
    confusion_section,
    image_list,
    percent,
    quality_section,
    size_section,
)

METRICS, RESULTS = "metrics.json", "inference"
"""What a training logs in its folder, and the folder of its results there."""
Sections = dict[str, tuple[str, str]]
"""Title and HTML by anchor."""


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

    def read(self, truth: Labelled, only: Collection[str] | None = None) -> Iterable[Compared]:
        """Reads them beside the truth, of all images or only some."""
        return read_compared(self.path, truth, is_part=self.is_part, only=only)


@dataclass(frozen=True)
class Found:
    """What was found in predictions.

    Attributes:
        scores: of the first run.
        others: of the second; empty if there is one only.
        sections: of the page.
        sides: the runs.
    """

    scores: list[Score]
    others: list[Score]
    sections: Sections
    sides: list[Side]


def report_predictions(
    truth: Labelled, predictions: Path, other: Path | None = None, title: str = "Predictions"
) -> Report:
    """Gathers the page about predictions on disk.

    Args:
        truth: the dataset.
        predictions: folder or JSON.
        other: of the same dataset, to compare with.
        title: of the page.

    Raises:
        FileNotFoundError, ValueError: files are missing, or contradict each other.
    """
    paths = [predictions, *([other] if other else [])]
    names = distinct_names(paths)
    compared = [Predictions(*each) for each in zip(names, paths, strict=True)]
    found = find_faults_of(truth, compared)
    beside = f" and {other}" if other else ""
    return Report(
        title=title,
        summary=f"{predictions}{beside}, against {truth.json}.",
        scores=found.scores,
        categories=Categories.from_json(found.sides[0].report.categories),
        settings={**facts_of_page(), "images": str(len(found.sides[0].report.images))},
        metrics=metrics_beside(predictions),
        examples=[],
        faults=found.sections,
        other=names[-1] if other else "",
        other_scores=found.others,
        other_metrics=metrics_beside(other) if other else {},
    )


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Names files or folders by the fewest last parts of their paths that tell them apart."""
    stems = (path.with_suffix("") if path.suffix == ".json" else path for path in paths)
    parts = [path.absolute().parts for path in stems]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({number})" for number, path in enumerate(paths, start=1)]


def metrics_beside(place: Path) -> dict[str, Curve]:
    """Reads what a training logged in its folder, of which `place` may be the `inference/`."""
    above = place.absolute().parents
    folders = [place, *(f.parent for f in (place.absolute(), *above[:1]) if f.name == RESULTS)]
    path = next((f / METRICS for f in folders if (f / METRICS).is_file()), None)
    return read_metrics(path) if path else {}


def find_faults_of(truth: Labelled, predictions: Sequence[Predictions]) -> Found:
    """Compares all predictions with their truth and makes the sections that find faults.

    Args:
        truth: the dataset.
        predictions: of one run, or of two that are compared.

    Raises:
        FileNotFoundError, ValueError: files are missing, or contradict each other.
    """
    sides = [examine(each, truth) for each in predictions]
    scores = [scores_of(side) for side in sides]
    chosen = choose_images(sides)
    names = [name for listed in chosen.values() for name in listed]
    drawn = _draw(truth, predictions, sides, names)
    shown = {name: f"image-{anchor_of(name)}" for name in names}
    sections = {"quality": ("Panoptic quality", quality_section(scores[0], sides[0]))}
    if len(sides) == 2:
        sections["comparison"] = ("Two runs", comparison_section(*sides, shown))
    sections["sizes"] = ("By size", size_section(sides[0]))
    sections["confusion"] = ("Confusion", confusion_section(sides[0]))
    chooser = sides[0].name if len(sides) == 2 else ""
    for title, listed in chosen.items():
        by = chooser if title.endswith("images") else ""
        html = images_section(title, [drawn[name] for name in listed], by)
        sections[anchor_of(title)] = (title, html)
    if len(sides) == 1:
        sections["all-images"] = ("All images", image_list(sides[0], shown))
    return Found(scores[0], scores[1] if len(sides) == 2 else [], sections, sides)


def examine(predictions: Predictions, truth: Labelled) -> Side:
    """Compares all images of a dataset with their truth.

    Raises:
        FileNotFoundError, ValueError: files are missing, or contradict each other.
    """
    report = DatasetReport(read_categories_of(truth))
    compared = tqdm(predictions.read(truth), unit="image", desc=f"Comparing {predictions.name}")
    for image in compared:
        report.add(image.prediction, image.truth, image.name)
    return Side(predictions.name, report)


def scores_of(side: Side) -> list[Score]:
    """Returns the scores of a run, in percent."""
    report, results = side.report, {}
    named = {suffix: report.qualities[group] for group, suffix in GROUPS.items()}
    named |= {f"-{c['name']}": report.by_category[c["id"]] for c in report.categories}
    for suffix, quality in named.items():
        values = zip(MEASURES, percent(quality), strict=True)
        results |= {measure + suffix: value for measure, value in values}
    return read_scores(results, Categories.from_json(report.categories))


def _draw(
    truth: Labelled,
    predictions: Sequence[Predictions],
    sides: Sequence[Side],
    names: Collection[str],
) -> dict[str, Example]:
    drawn: dict[str, list[dict[str, Panel]]] = {name: [] for name in names}
    categories = Categories.from_json(sides[0].report.categories)
    for each, side in zip(predictions, sides, strict=True):
        known = side.report.by_name
        images = tqdm(each.read(truth, drawn), "Drawing", len(drawn), unit="image")
        for image in images:
            panels = draw_image(image, known[image.name], categories, each.name)
            drawn[image.name].append(panels)
    return {name: arrange(name, panels) for name, panels in drawn.items()}
