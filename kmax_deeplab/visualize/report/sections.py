"""What is known of one run, as sections of a page: quality by class and size, confusion, images."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from kmax_deeplab.metrics.faults import SIZES, DatasetReport, ImageReport, count
from kmax_deeplab.metrics.panoptic_quality import GROUPS, Quality
from kmax_deeplab.visualize.report.scores import MEASURES, Score
from kmax_deeplab.visualize.report.tables import bar, row, section, swatch, table

COUNTED = ("matched", "missed", "invented")
"""What panoptic quality counts: true positives, false negatives and false positives."""
TOLD = ("wrong class", "poor shape")
"""What it does not tell."""
COUNTS_EXPLAINED = (
    "Matched, missed and invented (TP, FN, FP) are what panoptic quality counts. Among the missed "
    "are true segments found under another class (wrong class), or in a shape with an IoU up to "
    "0.5; poor shapes are these and matches with an IoU up to 0.75. A click on a column sorts."
)
MOST_CLASSES = 16
"""Classes of the table of confusion: those that are confused most."""
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


def percent(quality: Quality) -> list[float]:
    """Returns PQ, SQ and RQ in percent."""
    return [100 * quality.pq, 100 * quality.sq, 100 * quality.rq]


def members(report: DatasetReport, group: str) -> list[Mapping]:
    """Returns the categories of one of GROUPS."""
    is_thing = GROUPS[group]
    return [c for c in report.categories if is_thing is None or bool(c["isthing"]) == is_thing]


def quality_section(scores: Sequence[Score], side: Side | None) -> str:
    """Lists quality of all groups and classes with the counts behind it.

    Args:
        scores: groups first, then the classes in the order of the dataset.
        side: knows the counts; None: they are left out.
    """
    groups = [score for score in scores if score.color is None]
    classes = [score for score in scores if score.color is not None]
    counts = [[] for _ in scores]
    if side:
        report = side.report
        of_groups = [members(report, score.name) for score in groups]
        counts = [_count_all(report, c) for c in (*of_groups, *([c] for c in report.categories))]
    rows = [
        row(
            swatch(score.color) + escape(score.name),
            [*score.values, *numbers, bar(score.values[0])],
        )
        for score, numbers in zip([*groups, *classes], counts, strict=True)
    ]
    heads = ["class", *MEASURES, *((*COUNTED, *TOLD) if side else ()), ""]
    body = table(heads, rows[: len(groups)], rows[len(groups) :], kind="sortable grouped")
    return section("quality", "Panoptic quality", COUNTS_EXPLAINED if side else "", body)


def _count_all(report: DatasetReport, categories: Sequence[Mapping]) -> list[int]:
    kinds = sum((report.kinds.get(c["id"], Counter()) for c in categories), Counter())
    return [*count(report.statistics, categories), *(kinds[kind] for kind in TOLD)]


def size_section(side: Side) -> str:
    """Lists quality and counts of small, medium and large segments, of things and of stuff."""
    bodies = []
    for group in ("things", "stuff"):
        categories, rows = members(side.report, group), []
        for name in SIZES:
            statistics = side.report.by_size[name]
            quality = DatasetReport(side.report.categories, statistics).qualities[group]
            if any(counts := count(statistics, categories)):
                rows.append(row(f"{group}, {_size(name)}", [*percent(quality), *counts]))
        bodies.append(rows)
    note = (
        "A segment is as large as the true one; an invented one as it is itself. Pixels of void "
        "count in neither."
    )
    return section("sizes", "By size", note, table(["size", *MEASURES, *COUNTED], *bodies))


def _size(name: str) -> str:
    limits = [0.0, *SIZES.values()]
    least, most = limits[list(SIZES).index(name)], SIZES[name]
    if not least:
        return f"{name}: below {math.isqrt(int(most))}² pixels"
    to = f" to {math.isqrt(int(most))}²" if most < math.inf else "² pixels and more"
    return f"{name}: {math.isqrt(int(least))}²{to}".replace("²²", "²")


def confusion_section(side: Side) -> str:
    """Shows which classes were taken for which: a table of those concerned, and the pairs."""
    report = side.report
    names = {category["id"]: escape(category["name"]) for category in report.categories}
    pairs = report.confusion.most_common(MOST_CONFUSIONS)
    if not pairs:
        return section("confusion", "Confusion", "", "<p>No class was taken for another.</p>")
    body = _matrix(report, names)
    if len(pairs) > 1:
        rows = [
            row(names[a], [names[b], number, 100 * number / max(_true(report, a), 1)])
            for (a, b), number in pairs
        ]
        heads = ("true class", "taken for", "segments", "% of the class")
        body += "<h3>The most frequent</h3>" + table(heads, rows, kind="narrow")
    note = (
        "Rows are true classes, columns what they were taken for: segments that lie on each other "
        "with an IoU above 0.5. On the diagonal are the matched ones. Only classes that were "
        "confused are listed; the darker, the larger the share of the row."
    )
    return section("confusion", "Confusion", note, body)


def _matrix(report: DatasetReport, names: Mapping[int, str]) -> str:
    involved = Counter()
    for (a, b), number in report.confusion.items():
        involved[a] += number
        involved[b] += number
    chosen = {c for c, _ in involved.most_common(MOST_CLASSES)}
    order = [c["id"] for c in report.categories if c["id"] in chosen]
    rows = []
    for a in order:
        kinds = report.kinds.get(a, Counter())
        found = {b: report.confusion[a, b] for b in order} | {a: report.statistics[a].tp}
        total = max(_true(report, a), 1)
        cells = [_heat(number, number / total, is_right=a == b) for b, number in found.items()]
        rows.append(row(names[a], [*cells, kinds["missed"], _true(report, a)]))
    heads = ["", *(f"<span>{names[b]}</span>" for b in order), "not found", "true segments"]
    return table(heads, rows, kind="matrix")


def _true(report: DatasetReport, category_id: int) -> int:
    return report.statistics[category_id].tp + report.statistics[category_id].fn


def _heat(number: int, share: float, *, is_right: bool) -> str:
    color = "--good" if is_right else "--bad"
    shade = f"color-mix(in srgb, var({color}) {100 * share**0.5 * 0.75:.0f}%, transparent)"
    style = f' style="background:{shade}"' if number else ""
    return f'<td data-value="{number}"{style}>{number or "·"}</td>'


def image_list(side: Side, shown: Mapping[str, str]) -> str:
    """Lists all images, the worst first.

    Args:
        side: the run.
        shown: anchor of the pictures of an image, by its name.
    """
    ranked = sorted(side.report.images, key=_worst_first)
    rows = [
        row(link(image.name, shown), [*percent(image.quality), *map(image.counts.get, COUNTED)])
        for image in ranked
    ]
    body = table(["image", *MEASURES, *COUNTED], rows, kind="sortable")
    note = "Quality over the classes in the image. Names in blue lead to pictures."
    return section("all-images", "All images", note, f'<div class="tall">{body}</div>')


def link(name: str, shown: Mapping[str, str]) -> str:
    """Names an image, with a link to its pictures if they are shown."""
    text = escape(name)
    return f'<a href="#{shown[name]}">{text}</a>' if name in shown else text


def _worst_first(image: ImageReport) -> float:
    return math.inf if math.isnan(image.quality.pq) else image.quality.pq
