"""The page of a check: reports, samples and findings enter, one self-contained HTML file leaves."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from kmax_deeplab.data.check.dataset_check import DatasetReport
from kmax_deeplab.data.check.findings import EXPLAINED, KINDS, NOTES, Finding
from kmax_deeplab.data.check.measured import Summary, class_shares
from kmax_deeplab.data.check.profile import SMALL_SIDE
from kmax_deeplab.visualize.examples import Example
from kmax_deeplab.visualize.report.document import document
from kmax_deeplab.visualize.report.figures import show_example
from kmax_deeplab.visualize.report.finding_pictures import draw_findings
from kmax_deeplab.visualize.report.tables import (
    bar,
    card,
    contents_list,
    definitions,
    row,
    section,
    table,
)
from kmax_deeplab.whole_files import write_text

MOST_LISTED = 100
"""Findings of a kind that are listed."""
SIZES_EXPLAINED = (
    f"How many things are below {SMALL_SIDE}×{SMALL_SIDE} pixels once an image is resized to fit "
    "into an input: masks are drawn at a quarter of it, where these have less than four cells."
)


def write_dataset_page(
    path: Path | str,
    reports: Sequence[DatasetReport],
    summaries: Sequence[Summary],
    samples: Sequence[Sequence[Example]],
    findings: Sequence[Finding],
) -> None:
    """Writes the page, whole, and the folder it lies in where that is missing.

    Args:
        path: of the page.
        reports: of the datasets.
        summaries: of each dataset.
        samples: of each dataset.
        findings: faults and notes, of all of them.
    """
    parts = {"findings": ("Findings", _findings(findings, reports))}
    for position, (summary, drawn) in enumerate(zip(summaries, samples, strict=True)):
        anchor = f"dataset-{position}"
        parts[anchor] = (summary.name, _dataset(summary, anchor))
        anchor, title = f"samples-{position}", f"Samples of {summary.name}"
        body = "".join(map(show_example, drawn))
        parts[anchor] = (title, section(anchor, title, "", body))
    parts = {anchor: part for anchor, part in parts.items() if part[1]}
    contents = contents_list({anchor: title for anchor, (title, _) in parts.items()})
    title = f"Check of {' and '.join(dict.fromkeys(each.name for each in summaries))}"
    summary = "What the labels hold, what is wrong with them, and what to look at."
    sections = (_cards(reports, findings), contents, *(html for _, html in parts.values()))
    write_text(path, document(title, summary, sections))


def _cards(reports: Sequence[DatasetReport], findings: Sequence[Finding]) -> str:
    figures = {
        "images": sum(len(report.pairs) for report in reports),
        "segments": sum(len(image.rows) for r in reports for image in r.reports.values()),
        "faults": sum(finding.kind in KINDS for finding in findings),
        "notes": sum(finding.kind in NOTES for finding in findings),
    }
    cards = "".join(card(f"{count:,}", name) for name, count in figures.items())
    return f'<section class="cards">{cards}</section>'


def _dataset(summary: Summary, anchor: str) -> str:
    """Says what a dataset holds, with tables of its classes and of the sizes of its things."""
    body = definitions(summary.facts)
    rows = [
        row(
            escape(each.name),
            [
                "thing" if each.is_thing else "stuff",
                *(each.images, each.segments, each.crowds),
                *(100 * share, bar(100 * share)),
            ],
        )
        for each, share in zip(summary.classes, class_shares(summary.classes), strict=True)
    ]
    heads = ("class", "kind", "images", "segments", "crowds", "% of the pixels", "")
    if rows:
        body += f"<h3>Classes</h3>{table(heads, rows, kind='sortable')}"
    if summary.small:
        sizes = [
            row(f"{side}×{side}", [100 * share, count, bar(100 * share)])
            for side, share, count in summary.small
        ]
        heads = ("input", "% of the things", "things", "")
        body += f"<h3>Small things</h3><p>{SIZES_EXPLAINED}</p>{table(heads, sizes)}"
    return section(anchor, summary.name, "", body)


def _findings(findings: Sequence[Finding], reports: Sequence[DatasetReport]) -> str:
    if not findings:
        return section("findings", "Findings", "", "<p>Nothing was found.</p>")
    counts = Counter(finding.kind for finding in findings)
    rows = [
        row(kind, ["fault" if kind in KINDS else "note", counts[kind], EXPLAINED[kind]])
        for kind in EXPLAINED
        if counts[kind]
    ]
    pictures: dict[str, str] = {}
    for finding, example in draw_findings(findings, reports):
        pictures[finding.kind] = pictures.get(finding.kind, "") + show_example(example)
    body = table(("kind", "", "found", "meaning"), rows, kind="words")
    for kind in filter(counts.get, EXPLAINED):
        body += _list_kind(kind, [finding for finding in findings if finding.kind == kind])
        body += pictures.get(kind, "")
    return section("findings", "Findings", "", body)


def _list_kind(kind: str, found: Sequence[Finding]) -> str:
    rows = [row(escape(each.file), [escape(each.message)]) for each in found[:MOST_LISTED]]
    more = f"<p>… and {len(found) - MOST_LISTED} more.</p>" if len(found) > MOST_LISTED else ""
    listed = table(("file", "what"), rows, kind="words")
    return f'<h3>{kind}: {EXPLAINED[kind]}</h3><div class="tall">{listed}</div>{more}'
