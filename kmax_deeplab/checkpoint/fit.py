"""How a state dict fits a model: missing, unexpected and mismatched entries, as one table."""

from dataclasses import dataclass

from tabulate import tabulate
from torch import Tensor

State = dict[str, Tensor]
Row = tuple[str, str, str]

COUNTER = "num_batches_tracked"
"""Entries that older files lack and that nothing here depends on."""
ROWS = 12
"""Most rows of a kind in a table."""


@dataclass(frozen=True)
class Fit:
    """What does not fit; a row is (name, shape in the file, shape in the model)."""

    missing: list[Row]
    unexpected: list[Row]
    mismatched: list[Row]

    @property
    def rows(self) -> list[Row]:
        """All entries that do not fit."""
        return [*self.missing, *self.unexpected, *self.mismatched]

    def table(self, limit: int = ROWS) -> str:
        """Lists what does not fit in aligned columns, at most `limit` entries of a kind."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "other shape": self.mismatched,
        }
        rows = [(kind, *row) for kind, found in kinds.items() for row in found[:limit]]
        lines = tabulate(rows, ["", "entry", "in the file", "here"], "plain", disable_numparse=True)
        more = {kind: len(found) - limit for kind, found in kinds.items() if len(found) > limit}
        return "\n".join([lines, *(f"… and {n} more {kind}" for kind, n in more.items())])


def compare(state: State, wanted: State) -> Fit:
    """Compares names and shapes of a state dict with those of a model."""
    there = {name: str(tuple(value.shape)) for name, value in state.items()}
    here = {name: str(tuple(value.shape)) for name, value in wanted.items()}
    absent = [n for n in here if n not in there and not n.endswith(COUNTER)]
    shared = [name for name in here if name in there]
    return Fit(
        missing=[(name, "-", here[name]) for name in absent],
        unexpected=[(name, there[name], "-") for name in there if name not in here],
        mismatched=[(n, there[n], here[n]) for n in shared if there[n] != here[n]],
    )


def size(state: State) -> int:
    """Counts the parameters and statistics of a state dict."""
    return sum(value.numel() for name, value in state.items() if not name.endswith(COUNTER))
