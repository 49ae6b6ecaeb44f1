"""The frame of every page: title and sections enter, one HTML file without links to others leaves.

`report.css` and `report.js` of this folder are copied into it.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

STYLE_SHEET, PROGRAM = (Path(__file__).with_name(f"report.{kind}") for kind in ("css", "js"))


def document(title: str, summary: str, sections: Iterable[str]) -> str:
    """Makes a page.

    Args:
        title: its heading.
        summary: a sentence or two below it.
        sections: HTML of what follows.
    """
    style, program = (path.read_text(encoding="utf-8") for path in (STYLE_SHEET, PROGRAM))
    header = f"<header><h1>{escape(title)}</h1><p>{escape(summary)}</p></header>"
    body = "\n".join((header, *sections))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>\n{program}</script>\n</body>\n</html>\n"
    )
