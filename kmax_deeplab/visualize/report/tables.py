"""Sections and tables of a page: titles and values enter, HTML leaves.

A cell shows a number rounded and has it exact in `data-value`, by which a column is sorted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

UNCHANGED = 0.05
"""Percent points below which a difference is none: it would be shown as 0.0."""
WIDE, LONG = ' class="wide"', 40
"""Characters of a definition that takes a row of its own."""
Value = float | int | str
"""A percentage, a count, or HTML."""


def section(anchor: str, title: str, note: str, body: str) -> str:
    """Puts a title and an explanation before HTML; nothing if that is empty."""
    if not body:
        return ""
    paragraph = f"<p>{note}</p>" if note else ""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{paragraph}{body}</section>'


def table(heads: Sequence[str], *bodies: Sequence[str], kind: str = "") -> str:
    """Makes a table.

    Args:
        heads: of the columns, HTML.
        bodies: rows that `row` made; a click on a head of a "sortable" one sorts the last body.
        kind: class of the table.
    """
    if "sortable" in kind:
        heads = [f"<button>{text}</button>" if text else "" for text in heads]
    head = "".join(f"<th>{text}</th>" for text in heads)
    rows = "".join(f"<tbody>{''.join(body)}</tbody>" for body in bodies if body)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"{rows}</table></div>"
    )


def row(label: str, values: Sequence[Value], kind: str = "") -> str:
    """Makes a row of a table.

    Args:
        label: HTML of its first cell.
        values: of the others; what begins with "<td" is a whole cell.
        kind: class of the row.
    """
    cells = "".join(map(cell, values))
    return f'<tr class="{kind}"><th scope="row">{label}</th>{cells}</tr>'


def cell(value: Value) -> str:
    """Shows a percentage (float), a count (int) or HTML (str)."""
    if isinstance(value, str):
        return value if value.startswith("<td") else f"<td>{value}</td>"
    exact = "" if math.isnan(value) else repr(value)
    shown = number(value) if isinstance(value, float) else str(value)
    return f'<td data-value="{exact}">{shown}</td>'


def number(percentage: float) -> str:
    """Shows a percentage with one decimal, a dash where there is none."""
    return "–" if math.isnan(percentage) else f"{percentage:.1f}"


def bar(percentage: float) -> str:
    """A cell with a bar of a percentage."""
    length = 0.0 if math.isnan(percentage) else percentage
    return f'<td class="bar"><i style="width:{length:.1f}%"></i></td>'


def difference(before: float, after: float) -> str:
    """A cell with what was gained, in percent points: green if much, red if lost."""
    change = after - before
    if math.isnan(change):
        return cell(change)
    return f'<td class="{direction(change)}" data-value="{change!r}">{signed(change)}</td>'


def signed(change: float) -> str:
    """Shows percent points with their sign."""
    return f"{change:+.1f}" if abs(change) >= UNCHANGED else "0.0"


def direction(change: float) -> str:
    """Says whether percent points are "up", "down" or, if none or unknown, ""."""
    return "up" if change >= UNCHANGED else "down" if change <= -UNCHANGED else ""


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Lists names with what they are."""
    entries = "".join(
        f"<div{WIDE * (len(value) > LONG)}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in rows
    )
    return f"<dl>{entries}</dl>"


def card(figure: str, name: str, remarks: str = "") -> str:
    """Shows a large figure, what it is, and HTML below."""
    return f'<div class="card"><b>{escape(figure)}</b><span>{escape(name)}</span>{remarks}</div>'


def contents_list(entries: Mapping[str, str]) -> str:
    """Links to the sections of a page: title by anchor."""
    links = "".join(f'<a href="#{anchor}">{escape(t)}</a>' for anchor, t in entries.items())
    return f'<nav class="contents">{links}</nav>'


def swatch(color: tuple[int, int, int] | None) -> str:
    """Returns a small square of a class colour, nothing for a group."""
    if color is None:
        return ""
    red, green, blue = color
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'
