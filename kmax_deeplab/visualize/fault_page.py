"""The part of a report that finds faults: what is known of predictions enters, HTML leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from kmax_deeplab.metrics.faults import SIZES, DatasetReport
from kmax_deeplab.metrics.panoptic_quality import Quality
from kmax_deeplab.visualize.examples import Example
from kmax_deeplab.visualize.fault_map import COLORS
from kmax_deeplab.visualize.figures import show_example
from kmax_deeplab.visualize.scores import swatch

KINDS = {
    "missed": "nothing there resembles it",
    "invented": "nothing is there",
    "wrong class": "the right place, another name",
    "poor shape": "the right name; yellow pixels are wrong",
}
MOST_CONFUSIONS = 20
"""Pairs of classes that are listed."""


@dataclass(frozen=True)
class Side:
    """One run, or one folder of predictions.

    Attributes:
        name: to tell it from the other.
        report: what is known of it.
    """

    name: str
    report: DatasetReport


def class_table(side: Side) -> str:
    """Lists quality and counts of every class; a click on a column sorts."""
    report, rows = side.report, []
    for category in report.categories:
        quality = report.by_category[category["id"]]
        counts = report.statistics[category["id"]]
        kinds = report.kinds.get(category["id"], {})
        cells = [*_percent(quality), counts.tp, counts.fn, counts.fp]
        cells += [kinds.get("wrong class", 0), kinds.get("poor shape", 0)]
        rows.append(_row(swatch(_color(category)) + escape(category["name"]), cells))
    heads = (
        "class",
        "PQ",
        "SQ",
        "RQ",
        "matched",
        "missed",
        "invented",
        "wrong class",
        "poor shape",
    )
    note = (
        "Matched, missed and invented are what panoptic quality counts. Some of the missed were "
        "found under another class, or in a shape with an IoU up to 0.5; poor shapes are these and "
        "matches with an IoU up to 0.75. A click on a column sorts."
    )
    return _section("classes", "By class", note, _table(heads, rows, "sortable"))


def size_table(side: Side) -> str:
    """Lists quality and counts of small, medium and large segments."""
    rows = []
    for name, most in SIZES.items():
        statistics = side.report.by_size[name]
        from_statistics = DatasetReport(side.report.categories, statistics)
        counts = [statistics[category["id"]] for category in side.report.categories]
        totals = [sum(getattr(c, kind) for c in counts) for kind in ("tp", "fn", "fp")]
        label = f"{name}, below {math.isqrt(int(most))}² pixels" if most < math.inf else name
        rows.append(_row(label, [*_percent(from_statistics.qualities["all"]), *totals]))
    heads = ("size", "PQ", "SQ", "RQ", "matched", "missed", "invented")
    note = "By the area of the true segment, of invented ones by their own."
    return _section("sizes", "By size", note, _table(heads, rows))


def confusion_table(side: Side) -> str:
    """Lists which classes were taken for which, the most frequent first."""
    names = {category["id"]: category["name"] for category in side.report.categories}
    pairs = side.report.confusion.most_common(MOST_CONFUSIONS)
    rows = [_row(escape(names[a]), [escape(names[b]), count]) for (a, b), count in pairs]
    body = _table(("true class", "taken for", "segments"), rows) if rows else "<p>None.</p>"
    note = "Segments that lie on each other, with an IoU above 0.5, under two names."
    return _section("confusion", "Confusion", note, body)


def images_section(title: str, anchor: str, examples: Sequence[Example], note: str = "") -> str:
    """Shows images with truth, prediction and error map, and what the colours mean."""
    legend = "".join(
        f"<li>{swatch(COLORS[kind])}{kind}: {text}</li>" for kind, text in KINDS.items()
    )
    matched = f"<li>{swatch(COLORS['matched'])}outline: matched</li>"
    articles = "".join(map(show_example, examples))
    legend = f'<ul class="legend">{legend}{matched}</ul>'
    return _section(anchor, title, note, legend + articles)


def comparison(first: Side, second: Side) -> str:
    """Sets two runs side by side: groups, classes, and images."""
    groups = [
        _difference(name, first.report.qualities[name], second.report.qualities[name])
        for name in first.report.qualities
    ]
    qualities = first.report.by_category, second.report.by_category
    classes = [
        _difference(escape(c["name"]), *(q[c["id"]] for q in qualities))
        for c in first.report.categories
    ]
    others = {image.name: image for image in second.report.images}
    images = [
        _difference(escape(image.name), image.quality, others[image.name].quality)
        for image in first.report.images
        if image.name in others
    ]
    heads = ("", f"PQ {escape(first.name)}", f"PQ {escape(second.name)}", "difference")
    body = _table(heads, groups) + "<h3>Classes</h3>" + _table(heads, classes, "sortable")
    body += "<h3>Images</h3>" + f'<div class="tall">{_table(heads, images, "sortable")}</div>'
    names = f"First {escape(first.name)}, second {escape(second.name)}"
    note = f"{names}; a positive difference is better."
    return _section("comparison", "Two runs side by side", note, body)


def contents_list(entries: Mapping[str, str]) -> str:
    """Links to the sections of a page: title by anchor."""
    links = "".join(f'<a href="#{anchor}">{escape(t)}</a>' for anchor, t in entries.items())
    return f'<nav class="contents">{links}</nav>'


def _difference(label: str, before: Quality, after: Quality) -> str:
    change = 100 * (after.pq - before.pq)
    kind = "" if math.isnan(change) or abs(change) < 0.05 else "up" if change > 0 else "down"
    cells = [_number(before.pq), _number(after.pq)]
    return _row(label, [*cells, "–" if math.isnan(change) else f"{change:+.1f}"], kind)


def _section(anchor: str, title: str, note: str, body: str) -> str:
    paragraph = f"<p>{note}</p>" if note else ""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{paragraph}{body}</section>'


def _table(heads: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(label: str, cells: Sequence[object], kind: str = "") -> str:
    return (
        f'<tr class="{kind}"><th scope="row">{label}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _percent(quality: Quality) -> list[str]:
    return [_number(value) for value in (quality.pq, quality.sq, quality.rq)]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _color(category: Mapping) -> tuple[int, int, int] | None:
    return tuple(category["color"]) if "color" in category else None
