"""The page of a report: numbers, pictures and sections enter, one self-contained HTML file leaves.

The page needs no network and no other file: pictures are inline PNGs, curves inline SVG.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.examples import Example
from kmax_deeplab.visualize.report.curves import Curve
from kmax_deeplab.visualize.report.document import document
from kmax_deeplab.visualize.report.figures import show_example
from kmax_deeplab.visualize.report.history import history_section, losses_section
from kmax_deeplab.visualize.report.scores import Score, headline
from kmax_deeplab.visualize.report.sections import quality_section
from kmax_deeplab.visualize.report.tables import contents_list, definitions, section, swatch
from kmax_deeplab.whole_files import write_text

LAYERS_EXPLAINED = (
    "Below each image, the k-means layers from coarse to fine: every pixel has the pale colour of "
    "the query (cluster centre) it is assigned to, and its number where it fits (q3 is query 3). A "
    "query keeps its colour in all layers, and no class has one like it. The last picture leads "
    "from queries to segments: each segment in the colour of the query that owns most of it. In "
    "the pictures above, void is hatched."
)


@dataclass(frozen=True)
class Report:
    """Everything the page shows.

    Attributes:
        title: heading of the page.
        summary: a sentence or two below it.
        scores: groups first, then classes.
        categories: for the legend.
        settings: name and value of what was run, in order.
        metrics: what training logged, by name, see `curves.read_metrics`.
        examples: images, in order, with their k-means layers.
        faults: sections that `predictions` made, by anchor, with their titles; with "quality" in
            the place of the table of scores.
        other: name of a run that is compared with it, "" for none.
        other_scores, other_metrics: of that run.
    """

    title: str
    summary: str
    scores: list[Score]
    categories: Categories
    settings: Mapping[str, str]
    metrics: Mapping[str, Curve]
    examples: list[Example]
    faults: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    other: str = ""
    other_scores: list[Score] = field(default_factory=list)
    other_metrics: Mapping[str, Curve] = field(default_factory=dict)


def write_report(path: Path | str, report: Report) -> None:
    """Writes the page, whole, and the folder it lies in where that is missing."""
    parts = {anchor: part for anchor, part in _parts(report).items() if part[1]}
    contents = contents_list({anchor: title for anchor, (title, _) in parts.items()})
    cards = headline(report.scores, report.other_scores, report.other)
    sections = [cards, contents, *(html for _, html in parts.values())]
    write_text(path, document(report.title, report.summary, sections))


def _parts(report: Report) -> dict[str, tuple[str, str]]:
    """Returns title and HTML of the sections, by their anchors."""
    curves = report.metrics, report.other_metrics
    return {
        "quality": ("Panoptic quality", quality_section(report.scores, None)),
        **report.faults,
        "images": ("k-means layers", _examples(report)),
        "history": ("PQ over iterations", history_section(*curves)),
        "losses": ("Losses", losses_section(*curves)),
        "settings": ("Settings", _settings(report.settings)),
    }


def _examples(report: Report) -> str:
    if not report.examples:
        return ""
    categories = zip(report.categories.names, report.categories.colors, strict=True)
    entries = "".join(f"<li>{swatch(color)}{escape(name)}</li>" for name, color in categories)
    articles = "".join(map(show_example, report.examples))
    body = f'<ul class="legend">{entries}</ul>{articles}'
    return section("images", "Images and their k-means layers", LAYERS_EXPLAINED, body)


def _settings(settings: Mapping[str, str]) -> str:
    return section("settings", "Settings", "", definitions(settings.items()))
