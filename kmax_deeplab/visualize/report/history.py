"""How a training went: what it logged enters; quality over iterations and losses leave as HTML."""

import math
import re
from collections.abc import Mapping
from html import escape

from kmax_deeplab.visualize.report.curves import Curve, draw_chart, group_by_term, losses_of
from kmax_deeplab.visualize.report.tables import row, section, table

QUALITY = re.compile(r"((?:.+/)?)panoptic_seg/((?:PQ|SQ|RQ)(?:_th|_st)?)")
"""Name of a logged quality: what was evaluated, and the measure."""
LISTED = {"PQ": "PQ", "SQ": "SQ", "RQ": "RQ", "PQ_th": "PQ things", "PQ_st": "PQ stuff"}
"""Measures of the table, and what its columns are called."""


def qualities_of(metrics: Mapping[str, Curve]) -> dict[str, dict[str, Curve]]:
    """Returns the logged qualities by what was evaluated ("" for a single dataset) and measure."""
    found: dict[str, dict[str, Curve]] = {}
    for name, curve in metrics.items():
        if match := QUALITY.fullmatch(name):
            found.setdefault(match[1].rstrip("/"), {})[match[2]] = curve
    return {dataset: curves for dataset, curves in found.items() if "PQ" in curves}


def history_section(metrics: Mapping[str, Curve], others: Mapping[str, Curve] = {}) -> str:
    """Draws and lists panoptic quality over iterations, as training evaluated it.

    Args:
        metrics: of the run.
        others: of the run that is compared with it.
    """
    known, compared, parts = qualities_of(metrics), qualities_of(others), []
    for dataset, curves in known.items():
        other = compared.get(dataset, {}).get("PQ")
        groups = [curves[kind] for kind in ("PQ", "PQ_th", "PQ_st") if kind in curves]
        chart = draw_chart(f"PQ {dataset}".strip(), groups, other, "PQ")
        caption = "PQ; faint: things and stuff" + ("; dashed: the other run" if other else "")
        figure = f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"
        title = f"<h3>{escape(dataset)}</h3>" if dataset else ""
        body = table(["iteration", *LISTED.values()], _rows(curves), kind="narrow")
        parts.append(f'{title}<div class="history">{figure}<div class="tall">{body}</div></div>')
    note = "Evaluations during the training, on the test dataset."
    return section("history", "PQ over iterations", note, "".join(parts))


def _rows(curves: Mapping[str, Curve]) -> list[str]:
    by_iteration = {
        kind: dict(zip(curve.iterations, curve.values, strict=True))
        for kind, curve in curves.items()
    }
    return [
        row(str(i), [by_iteration.get(kind, {}).get(i, math.nan) for kind in LISTED])
        for i in curves["PQ"].iterations
    ]


def losses_section(metrics: Mapping[str, Curve], others: Mapping[str, Curve] = {}) -> str:
    """Draws every loss term over iterations; of two runs, the total and final ones of both."""
    losses, compared = losses_of(metrics), losses_of(others)
    charts = []
    for term, curves in group_by_term(losses).items():
        other, layers = compared.get(term), len(curves) - 1
        remarks = [f"faint: {layers} k-means layers"] if layers else []
        remarks += ["dashed: the other run"] if other else []
        remark = f"<small>final output; {'; '.join(remarks)}</small>" if remarks else ""
        caption = f"<figcaption>{escape(term)}{remark}</figcaption>"
        charts.append(f"<figure>{draw_chart(term, curves, other)}{caption}</figure>")
    body = f'<div class="charts">{"".join(charts)}</div>' if charts else ""
    return section("losses", "Losses", "", body)
