"""The report of a run: numbers and pictures enter, one self-contained HTML page leaves.

The page needs no network and no other file: pictures are inline PNGs, curves inline SVG, and the
style sheet `report.css` of this folder is copied into it.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.examples import Example
from kmax_deeplab.visualize.fault_page import contents_list
from kmax_deeplab.visualize.figures import show_example
from kmax_deeplab.visualize.loss_curves import Curve, draw_chart, group_by_term
from kmax_deeplab.visualize.scores import Score, headline, score_table, swatch
from kmax_deeplab.whole_files import write_text

STYLE_SHEET, PROGRAM = (Path(__file__).with_name(f"report.{kind}") for kind in ("css", "js"))
LAYERS_EXPLAINED = (
    "Below each image, the k-means layers from coarse to fine: every pixel has the colour of the "
    "query (cluster centre) it is assigned to, and a query keeps its colour in all layers. In the "
    "pictures above, void is dark."
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
        losses: curves by name, see `loss_curves.read_losses`.
        examples: images, in order, with their k-means layers.
        faults: sections that `fault_page` made, by anchor, with their titles.
    """

    title: str
    summary: str
    scores: list[Score]
    categories: Categories
    settings: dict[str, str]
    losses: dict[str, Curve]
    examples: list[Example]
    faults: dict[str, tuple[str, str]] = field(default_factory=dict)


def write_report(path: Path | str, report: Report) -> None:
    """Writes the page, whole, and the folder it lies in where that is missing."""
    parts = {anchor: part for anchor, part in _parts(report).items() if part[1]}
    contents = contents_list({anchor: title for anchor, (title, _) in parts.items()})
    sections = [_header(report), headline(report.scores), contents]
    sections += [html for _, html in parts.values()]
    write_text(path, _page(report.title, "\n".join(sections)))


def _parts(report: Report) -> dict[str, tuple[str, str]]:
    """Returns title and HTML of the sections, by their anchors."""
    return {
        "quality": ("Panoptic quality", score_table(report.scores)),
        **report.faults,
        "images": ("Images", _examples(report) if report.examples else ""),
        "losses": ("Losses", _charts(report.losses)),
        "settings": ("Settings", _settings(report.settings)),
    }


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE_SHEET.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>\n"
        f"{PROGRAM.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    return f"<header><h1>{escape(report.title)}</h1><p>{escape(report.summary)}</p></header>"


def _legend(categories: Categories) -> str:
    entries = "".join(
        f"<li>{swatch(color)}{escape(name)}</li>"
        for name, color in zip(categories.names, categories.colors, strict=True)
    )
    return f'<ul class="legend">{entries}</ul>'


def _examples(report: Report) -> str:
    articles = "".join(map(show_example, report.examples))
    return (
        f'<section id="images"><h2>Images</h2><p>{LAYERS_EXPLAINED}</p>'
        f"{_legend(report.categories)}{articles}</section>"
    )


def _charts(losses: dict[str, Curve]) -> str:
    if not losses:
        return ""
    figures = "".join(_chart(term, curves) for term, curves in group_by_term(losses).items())
    return f'<section id="losses"><h2>Losses</h2><div class="charts">{figures}</div></section>'


def _chart(term: str, curves: list[Curve]) -> str:
    layers = len(curves) - 1
    remark = f"<small>final output; faint: {layers} k-means layers</small>" if layers else ""
    caption = f"<figcaption>{escape(term)}{remark}</figcaption>"
    return f"<figure>{draw_chart(term, curves)}{caption}</figure>"


def _settings(settings: dict[str, str]) -> str:
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in settings.items()
    )
    return f'<section id="settings"><h2>Settings</h2><dl>{rows}</dl></section>'
