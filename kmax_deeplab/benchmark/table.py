"""Results as text and JSON: rows of a benchmark enter, an aligned table or a dict leaves."""

import platform
from dataclasses import asdict, dataclass

import torch

from kmax_deeplab.benchmark.stages import TOTAL, Row

GIGABYTE = 1e9


@dataclass(frozen=True)
class Result:
    """One benchmark.

    Attributes:
        title: what was measured, of which config, at which size.
        environment: where, see `describe_environment`.
        rows: stages in order; the one named "total" is what shares refer to.
    """

    title: str
    environment: str
    rows: list[Row]

    @property
    def total(self) -> float:
        """Median seconds of the whole step."""
        return next(row.median for row in self.rows if row.stage == TOTAL)

    def to_dict(self) -> dict:
        """Returns plain values for JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Result":
        """Rebuilds a result from `to_dict`."""
        return cls(values["title"], values["environment"], [Row(**row) for row in values["rows"]])


def describe_environment(device: torch.device) -> str:
    """Names device, threads and versions in one line."""
    name = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}; torch {torch.__version__}; Python {platform.python_version()}"


def format_result(result: Result) -> str:
    """Returns a table of stages with median seconds, share of the total and peak memory."""
    runs = len(result.rows[-1].seconds)
    lines = [
        result.title,
        f"{result.environment}; median of {runs} runs",
        f"{'stage':<28}{'seconds':>10}{'share':>9}{'peak GB':>10}",
    ]
    for row in result.rows:
        name = "  " * row.depth + row.stage
        share = row.median / result.total
        peak = row.peak_bytes / GIGABYTE
        lines.append(f"{name:<28}{row.median:>10.4f}{share:>9.1%}{peak:>10.2f}")
    return "\n".join(lines)


def format_comparison(first: Result, second: Result) -> str:
    """Returns both tables, then second divided by first for every stage they share."""
    lines = [format_result(first), "", format_result(second), "", "second / first"]
    lines.append(f"{'stage':<28}{'time':>10}{'memory':>10}")
    others = {(row.stage, row.depth): row for row in second.rows}
    for row in first.rows:
        other = others.get((row.stage, row.depth))
        if other is None or row.median == 0 or row.peak_bytes == 0:
            continue
        name = "  " * row.depth + row.stage
        memory = other.peak_bytes / row.peak_bytes
        lines.append(f"{name:<28}{other.median / row.median:>10.3f}{memory:>10.3f}")
    return "\n".join(lines)
