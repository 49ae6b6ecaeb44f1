"""A config as YAML: choices enter, a text leaves in which every line says why."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kmax_deeplab.d2.config.files import BASE, PLACES
from kmax_deeplab.d2.suggest.parts import Parts
from kmax_deeplab.d2.suggest.plan import Choice, Plan

WIDTH = 100
INDENT = "  "


def write_config(plan: Plan, parts: Parts, folder: Path, title: Sequence[str]) -> str:
    """Writes a config that needs no other file than its base.

    Args:
        plan: the base and the choices.
        parts: the datasets; places below the folder are written relative to it.
        folder: that the config will lie in, absolute.
        title: first lines, as comments.
    """
    tree: dict = {}
    for choice in plan.choices:
        *sections, last = choice.key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = choice
    comments = [f"# {line}" for text in title for line in textwrap.wrap(text, WIDTH - 2)]
    lines = [*comments, f"{BASE}: {write_value(str(plan.base))}", *_datasets(parts, folder)]
    return "\n".join([*lines, *_lines(tree, "")]) + "\n"


def write_value(value: object) -> str:
    """Writes a plain value; JSON is YAML, but for numbers such as 5e-05, which YAML calls texts."""
    if isinstance(value, float):
        return np.format_float_positional(value, trim="0")
    return json.dumps(value, ensure_ascii=False)


def _lines(tree: dict, indent: str) -> Iterator[str]:
    for key, node in tree.items():
        if isinstance(node, Choice):
            yield from _line(f"{indent}{key}: {write_value(node.value)}", node.reason, indent)
        else:
            yield f"{indent}{key}:"
            yield from _lines(node, indent + INDENT)


def _line(line: str, reason: str, indent: str) -> Iterator[str]:
    """Puts a reason behind a line, or above it where it is long."""
    if len(beside := f"{line}  # {reason}") <= WIDTH:
        yield beside
        return
    yield from (f"{indent}# {part}" for part in textwrap.wrap(reason, WIDTH - len(indent) - 2))
    yield line


def _datasets(parts: Parts, folder: Path) -> Iterator[str]:
    yield "DATASETS:"
    if parts.entries:
        yield f"{INDENT}PANOPTIC:"
    for entry in parts.entries:
        places = {key: _relative(entry[key], folder) for key in PLACES}
        pairs = ", ".join(
            f"{key}: {write_value(value)}" for key, value in {**entry, **places}.items()
        )
        yield f"{INDENT * 2}- {{{pairs}}}"
    yield from _line(f"{INDENT}TRAIN: {write_value(list(parts.train))}", parts.note, INDENT)
    yield f"{INDENT}TEST: {write_value(list(parts.test))}"


def _relative(path: str, folder: Path) -> str:
    inside = Path(path).is_relative_to(folder)
    return str(Path(path).relative_to(folder)) if inside else path
