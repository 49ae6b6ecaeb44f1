"""Loss curves: Detectron2's metrics.json enters, inline SVG charts leave.

The file holds one JSON object per line, written every 20 iterations. A resumed run repeats
iterations that an interrupted one had already logged; the last value counts.
"""

import json
import math
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

LAYER_LOSS = re.compile(r"(loss_\w+?)_(\d+)")
"""Name of a loss of one k-means layer: the final output's name and the layer's index."""
WIDTH, HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 26


@dataclass(frozen=True)
class Curve:
    """One logged value over training.

    Attributes:
        iterations: ascending.
        values: one per iteration.
    """

    iterations: list[int]
    values: list[float]


def read_losses(metrics_json: Path | str) -> dict[str, Curve]:
    """Reads every loss that training logged.

    Returns:
        Curves by name: "total_loss", "loss_ce", "loss_ce_0", ...

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not JSON.
    """
    path = Path(metrics_json)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: training writes it into OUTPUT_DIR")
    points: dict[str, dict[int, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from error
        for name, value in record.items():
            if name.startswith("loss_") or name == "total_loss":
                points.setdefault(name, {})[int(record["iteration"])] = float(value)
    return {name: _curve(values) for name, values in points.items()}


def _curve(values: dict[int, float]) -> Curve:
    iterations = sorted(values)
    return Curve(iterations, [values[iteration] for iteration in iterations])


def group_by_term(losses: dict[str, Curve]) -> dict[str, list[Curve]]:
    """Puts the curves of one loss term together: the final output's first, then layer by layer."""
    layers: dict[str, list[tuple[int, Curve]]] = {}
    for name, curve in losses.items():
        if match := LAYER_LOSS.fullmatch(name):
            layers.setdefault(match[1], []).append((int(match[2]), curve))
    terms = [name for name in losses if not LAYER_LOSS.fullmatch(name)]
    return {
        term: [losses[term], *(curve for _, curve in sorted(layers.get(term, []), key=_index))]
        for term in sorted(terms, key=lambda term: (term != "total_loss", term))
    }


def _index(layer: tuple[int, Curve]) -> int:
    return layer[0]


def draw_chart(title: str, curves: list[Curve]) -> str:
    """Draws curves into one SVG; the first stands out, the others are faint.

    Args:
        title: accessible name of the chart.
        curves: at least one, each with at least one point.

    Returns:
        An `<svg>` element that takes its colours from the page's CSS classes.
    """
    last = max(curve.iterations[-1] for curve in curves)
    highest = max(max(curve.values) for curve in curves)
    top = _round_up(highest)
    lines = [_polyline(curve, last, top, "faint") for curve in curves[1:]]
    lines.append(_polyline(curves[0], last, top, "strong"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(_axes(last, top) + lines)
        + "</svg>"
    )


def _round_up(value: float) -> float:
    """Returns the next 1, 2, 2.5 or 5 times a power of ten; 1 if the value is not positive."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.ceil(math.log10(value))
    return next(power * share for share in (0.1, 0.2, 0.25, 0.5, 1.0) if power * share >= value)


def _polyline(curve: Curve, last: int, top: float, style: str) -> str:
    points = " ".join(
        f"{_x(iteration, last):.1f},{_y(value, top):.1f}"
        for iteration, value in zip(curve.iterations, curve.values, strict=True)
    )
    return f'<polyline class="{style}" points="{points}"/>'


def _axes(last: int, top: float) -> list[str]:
    """Returns four horizontal grid lines with their values, and the ends of the iteration axis."""
    parts = []
    for quarter in range(5):
        value = top * quarter / 4
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last + 1} iterations</text>'
    )
    return parts


def _x(iteration: int, last: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * iteration / max(last, 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
