"""Panoptic quality as a table: evaluation results enter, text or HTML leaves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from kmax_deeplab.data.format.categories import Categories

MEASURES = ("PQ", "SQ", "RQ")
GROUPS = {"all": "", "things": "_th", "stuff": "_st"}
"""Suffix of each group in the names of Detectron2's panoptic results."""


@dataclass(frozen=True)
class Score:
    """Panoptic quality of one group of classes, or of one class, in percent.

    Attributes:
        name: "all", "things", "stuff" or the name of a class.
        values: PQ, SQ, RQ; NaN where no image has the class.
        color: RGB of a class; None for a group.
    """

    name: str
    values: tuple[float, ...]
    color: tuple[int, int, int] | None = None


def read_scores(results: Mapping[str, float], categories: Categories) -> list[Score]:
    """Sorts an evaluation's panoptic results: groups first, then classes.

    Args:
        results: "PQ", "PQ_th", "PQ_st", "PQ-<class>" and the same with SQ and RQ, in percent; NaN
            or missing where no image has the class.
        categories: names and colours of the classes.
    """
    groups = [Score(name, _values(results, suffix)) for name, suffix in GROUPS.items()]
    classes = zip(categories.names, categories.colors, strict=True)
    return [*groups, *(Score(name, _values(results, f"-{name}"), color) for name, color in classes)]


def _values(results: Mapping[str, float], suffix: str) -> tuple[float, ...]:
    return tuple(float(results.get(measure + suffix, math.nan)) for measure in MEASURES)


def format_scores(scores: list[Score]) -> str:
    """Writes the scores as a plain text table, for a terminal."""
    width = max(len(score.name) for score in scores) + 2
    lines = [" " * width + "".join(f"{measure:>7}" for measure in MEASURES)]
    for score in scores:
        numbers = "".join(f"{format_number(score, position):>7}" for position in range(3))
        lines.append(f"{score.name:<{width}}{numbers}")
    return "\n".join(lines)


def format_number(score: Score, position: int) -> str:
    """Returns PQ, SQ or RQ (position 0, 1, 2) with one decimal, a dash where there is none."""
    value = score.values[position]
    return "–" if math.isnan(value) else f"{value:.1f}"


def headline(scores: list[Score]) -> str:
    """Shows the PQ of the groups as large figures."""
    cards = [
        f'<div class="card"><b>{format_number(score, 0)}</b>'
        f"<span>PQ {escape(score.name)}</span></div>"
        for score in scores
        if score.color is None
    ]
    return f'<section class="cards">{"".join(cards)}</section>'


def score_table(scores: list[Score]) -> str:
    """Lists PQ, SQ and RQ of all groups and classes, PQ with a bar."""
    rows = "".join(_row(score) for score in scores)
    return (
        '<section id="quality"><h2>Panoptic quality</h2><div class="scroll"><table>'
        "<thead><tr><th>class</th><th>PQ</th><th>SQ</th><th>RQ</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(score: Score) -> str:
    cells = "".join(f"<td>{format_number(score, position)}</td>" for position in range(3))
    length = 0.0 if math.isnan(score.values[0]) else score.values[0]
    style = "group" if score.color is None else "class"
    name = swatch(score.color) + escape(score.name)
    return (
        f'<tr class="{style}"><th scope="row">{name}</th>{cells}'
        f'<td class="bar"><i style="width:{length:.1f}%"></i></td></tr>'
    )


def swatch(color: tuple[int, int, int] | None) -> str:
    """Returns a small square of a class colour, nothing for a group."""
    if color is None:
        return ""
    red, green, blue = color
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'
