"""Two runs side by side: what is known of each enters, tables of what changed leave."""

import math
from collections.abc import Mapping
from html import escape

from kmax_deeplab.metrics.faults import ImageReport, count
from kmax_deeplab.metrics.panoptic_quality import GROUPS
from kmax_deeplab.visualize.report.sections import COUNTED, Side, link, members
from kmax_deeplab.visualize.report.tables import difference, direction, row, section, table

ARROW = "→"


def comparison_section(first: Side, second: Side, shown: Mapping[str, str]) -> str:
    """Says what got better and what worse: by group, class and image.

    Args:
        first, second: the runs.
        shown: anchor of the pictures of an image, by its name.
    """
    names = escape(first.name), escape(second.name)
    heads = ["", *(f"PQ {name}" for name in names), "difference", *COUNTED]
    classes = table(heads, _groups(first, second), _classes(first, second), kind="sortable grouped")
    images = image_changes(first, second)
    before, after = first.report.by_name, second.report.by_name
    rows = [_image(link(name, shown), before[name], after[name]) for name in images]
    body = (
        f"<h3>By class</h3>{classes}<h3>By image</h3><p>{_sum_up(images)}</p>"
        f'<div class="tall">{table(heads, rows, kind="sortable")}</div>'
    )
    note = (
        f"First {names[0]}, then {names[1]}: a positive difference says that {names[1]} is better, "
        "in percent points. Counts are of the first → the second."
    )
    return section("comparison", "Two runs side by side", note, body)


def image_changes(first: Side, second: Side) -> dict[str, float]:
    """Returns what each image gained from the first run to the second, in percent points of PQ.

    The greatest loss comes first. Images that one of them lacks, or without any class, are missing.
    """
    after = {image.name: image.quality.pq for image in second.report.images}
    changes = {
        image.name: 100 * (after[image.name] - image.quality.pq)
        for image in first.report.images
        if image.name in after
    }
    known = {name: change for name, change in changes.items() if not math.isnan(change)}
    return dict(sorted(known.items(), key=lambda item: item[1]))


def _sum_up(changes: Mapping[str, float]) -> str:
    directions = [direction(change) for change in changes.values()]
    same = len(directions) - directions.count("up") - directions.count("down")
    return (
        f"{directions.count('up')} images got better, {directions.count('down')} worse, "
        f"{same} stayed the same."
    )


def _groups(first: Side, second: Side) -> list[str]:
    rows = []
    for group in GROUPS:
        qualities = [100 * side.report.qualities[group].pq for side in (first, second)]
        counts = [
            count(side.report.statistics, members(side.report, group)) for side in (first, second)
        ]
        rows.append(_changed(group, *qualities, *counts))
    return rows


def _classes(first: Side, second: Side) -> list[str]:
    qualities = [side.report.by_category for side in (first, second)]
    rows = []
    for category in first.report.categories:
        values = [100 * quality[category["id"]].pq for quality in qualities]
        counts = [count(side.report.statistics, [category]) for side in (first, second)]
        rows.append(_changed(escape(category["name"]), *values, *counts))
    return rows


def _image(label: str, before: ImageReport, after: ImageReport) -> str:
    counts = [[image.counts[kind] for kind in COUNTED] for image in (before, after)]
    return _changed(label, 100 * before.quality.pq, 100 * after.quality.pq, *counts)


def _changed(
    label: str, before: float, after: float, counts_before: list[int], counts_after: list[int]
) -> str:
    counts = [_count(*pair) for pair in zip(counts_before, counts_after, strict=True)]
    return row(label, [before, after, difference(before, after), *counts])


def _count(before: int, after: int) -> str:
    shown = f"{before} {ARROW} {after}" if before != after else before
    return f'<td data-value="{after - before}">{shown}</td>'
