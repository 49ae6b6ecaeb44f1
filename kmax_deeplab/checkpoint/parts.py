"""Parts of a model that fine-tuning may begin anew, by the names that a config uses."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

KEY = "MODEL.KMAX_DEEPLAB.REINITIALIZE"
SEMANTIC = r"\.auxiliary_semantic_predictor\."
CLASSES = "classes"
PARTS = {
    CLASSES: rf"\.transformer_class_head\.|{SEMANTIC}(final_conv|2)\.",
    "queries": r"\.cluster_centers\.",
    "semantic": rf"{SEMANTIC}(?!final_conv\.|2\.)",
}
"""Which entries belong to a part: all class heads and the last layer of the auxiliary semantic
head, which depend on the classes; the cluster centres, which depend on the number of queries; the
auxiliary semantic head below its last layer, of which there are two kinds."""


def check_parts(parts: Iterable[str]) -> None:
    """Refuses names that are not in `PARTS`.

    Raises:
        ValueError: naming the key, the value and what is accepted.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ValueError(f"{KEY} names {unknown}; accepted are {list(PARTS)}")


def part_of(name: str) -> str | None:
    """Returns the part that an entry belongs to, if there is one."""
    return next((part for part, pattern in PARTS.items() if re.search(pattern, name)), None)


def without(parts: Sequence[str], state: dict[str, T]) -> dict[str, T]:
    """Returns the entries that belong to none of some parts."""
    return {name: value for name, value in state.items() if part_of(name) not in parts}
