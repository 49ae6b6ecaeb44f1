"""Curves of a training: Detectron2's metrics.json enters, inline SVG charts leave.

The file holds one JSON object per line, written every 20 iterations. A resumed run repeats
iterations that an interrupted one had already logged; the last value counts.
"""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

LAYER_LOSS = re.compile(r"(loss_\w+?)_(\d+)")
"""Name of a loss of one k-means layer: the final output's name and the layer's index."""
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
NUMBERED_ID = re.compile(r' id="(figure|axes|patch|line2d|matplotlib\.axis|text|[xy]tick)_\d+"')
MARKER = re.compile(r'(<use [^>]*?|<path id="m\w+" [^>]*?) style="[^"]*"')
SIZE = (4.6, 2.2)
"""(width, height) of a chart; in inches of 72 points."""
BEGINNING = 0.1
"""Share of the iterations that does not decide how far the axis goes."""
FEW_POINTS = 30
"""Up to which they are marked, and all decide how far the axis goes."""


@dataclass(frozen=True)
class Curve:
    """One logged value over training.

    Attributes:
        iterations: ascending.
        values: one per iteration.
    """

    iterations: list[int]
    values: list[float]


def read_metrics(metrics_json: Path | str) -> dict[str, Curve]:
    """Reads every number that training logged.

    Returns:
        Curves by name: "total_loss", "loss_ce", "loss_ce_0", "panoptic_seg/PQ", ...

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
            if name != "iteration" and isinstance(value, int | float):
                points.setdefault(name, {})[int(record["iteration"])] = float(value)
    return {name: _curve(values) for name, values in points.items()}


def losses_of(metrics: Mapping[str, Curve]) -> dict[str, Curve]:
    """Returns the losses among what training logged."""
    return {n: c for n, c in metrics.items() if n.startswith("loss_") or n == "total_loss"}


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


def draw_chart(
    title: str, curves: Sequence[Curve], other: Curve | None = None, label: str = ""
) -> str:
    """Draws curves into one SVG; the first stands out, the others are faint.

    The axis spans what comes after the first tenth of the training, so that the steep beginning
    does not flatten the rest; what is above is cut off, and its greatest value written there.

    Args:
        title: accessible name of the chart.
        curves: at least one, each with at least one point.
        other: of another run, to compare the first with.
        label: of the axis of values.

    Returns:
        An `<svg>` element; the page colours its texts and the lines "strong", "other" and "faint".
    """
    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    lines = [*((curve, "faint") for curve in curves[1:]), *([(other, "other")] if other else [])]
    for curve, kind in [*lines, (curves[0], "strong")]:
        marker = "o" if len(curve.values) <= FEW_POINTS else None
        (line,) = axes.plot(curve.iterations, curve.values, marker=marker, markersize=3)
        line.set_gid(kind)
    shown = [*curves, *([other] if other else [])]
    low, high = _limits(shown)
    axes.set(ylim=(low, high), xlabel="iterations", ylabel=label)
    axes.margins(x=0.01)
    greatest = max(max(curve.values) for curve in shown)
    if greatest > high:
        place = {"xy": (0.99, 0.99), "xycoords": "axes fraction", "va": "top", "ha": "right"}
        axes.annotate(f"↑ up to {greatest:.3g}", fontsize=8, **place)
    axes.grid(axis="y", color="#8884")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _as_svg(figure, title)


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """Returns the range of values after the first tenth, with some room; from 0 if that is near."""
    values: list[float] = []
    for curve in curves:
        share = BEGINNING if len(curve.values) > FEW_POINTS else 0.0
        begin = curve.iterations[0] + share * (curve.iterations[-1] - curve.iterations[0])
        kept = [v for i, v in zip(curve.iterations, curve.values, strict=True) if i >= begin]
        values += [value for value in kept if math.isfinite(value)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    is_near_zero = 0 <= low < 0.3 * high
    return (0.0 if is_near_zero else low - room), high + room


def _as_svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    svg = file.getvalue()
    svg = re.sub(r'id="(strong|other|faint)"', r'class="\1"', svg[svg.index("<svg") :])
    svg = MARKER.sub(r"\1", svg)  # the page says how markers look
    svg = NUMBERED_ID.sub("", svg)  # several charts of a page would have them alike
    name = f'<svg role="img" aria-label="{escape(title, quote=True)}"'
    return svg.replace("<svg", name, 1)
