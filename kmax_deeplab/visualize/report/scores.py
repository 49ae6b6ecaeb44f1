"""Panoptic quality by group and class: evaluation results enter, text or figures leave."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.visualize.report.tables import card, direction, number, signed

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
        numbers = "".join(f"{number(value):>7}" for value in score.values)
        lines.append(f"{score.name:<{width}}{numbers}")
    return "\n".join(lines)


def headline(scores: Sequence[Score], others: Sequence[Score] = (), name: str = "") -> str:
    """Shows the PQ of the groups as large figures, SQ and RQ below.

    Args:
        scores: of the run.
        others: of the run that is compared with it, if any.
        name: of that run.
    """
    compared = {score.name: score.values for score in others if score.color is None}
    cards = [
        card(
            number(score.values[0]),
            f"PQ {score.name}",
            f"<small>SQ {number(score.values[1])} · RQ {number(score.values[2])}</small>"
            + _beside(score, compared.get(score.name), name),
        )
        for score in scores
        if score.color is None
    ]
    return f'<section class="cards">{"".join(cards)}</section>'


def _beside(score: Score, values: tuple[float, ...] | None, name: str) -> str:
    if values is None:
        return ""
    change = values[0] - score.values[0]
    gained = "" if math.isnan(change) else f' <i class="{direction(change)}">{signed(change)}</i>'
    return f"<small>{escape(name)}: {number(values[0])}{gained}</small>"
