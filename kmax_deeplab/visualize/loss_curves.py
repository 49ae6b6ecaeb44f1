"""Loss curves: Detectron2's metrics.json enters, inline SVG charts leave.

The file holds one JSON object per line, written every 20 iterations. A resumed run repeats
iterations that an interrupted one had already logged; the last value counts.
"""

import io
import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

LAYER_LOSS = re.compile(r"(loss_\w+?)_(\d+)")
"""Name of a loss of one k-means layer: the final output's name and the layer's index."""
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
SIZE = (4.6, 2.2)
"""(width, height) of a chart; in inches of 72 points."""


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
        An `<svg>` element; the page colours its texts and the lines "strong" and "faint".
    """
    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    for curve in (*curves[1:], curves[0]):
        (line,) = axes.plot(curve.iterations, curve.values)
        line.set_gid("strong" if curve is curves[0] else "faint")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if min(curves[0].values) < 0 else 0.0)
    axes.set_xlabel("iterations")
    axes.grid(axis="y", color="#8884")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    svg = file.getvalue()
    name = f'<svg role="img" aria-label="{escape(title, quote=True)}"'
    return svg[svg.index("<svg") :].replace("<svg", name, 1)
