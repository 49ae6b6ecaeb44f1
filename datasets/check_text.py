"""What `check.py` prints: summaries and findings enter, tables and lists on the screen leave."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tabulate import tabulate

from kmax_deeplab.data.check.findings import KINDS, NOTES, Finding
from kmax_deeplab.data.check.measured import Summary, class_shares
from kmax_deeplab.data.check.profile import SMALL_SIDE


def print_summary(summary: Summary) -> None:
    """Prints where a dataset lies, what it holds, its classes, and how large its things are."""
    facts = tabulate(summary.facts, tablefmt="plain", disable_numparse=True)
    print(f"\n{summary.name}\n{facts}\n")
    table = [
        (
            *(c.name, "thing" if c.is_thing else "stuff"),
            *(c.images, c.segments, c.crowds, c.pixels, f"{share:.1%}"),
        )
        for c, share in zip(summary.classes, class_shares(summary.classes), strict=True)
    ]
    headers = ("class", "kind", "images", "segments", "crowds", "pixels", "share")
    if table:
        print(tabulate(table, headers, disable_numparse=True))
    if summary.small:
        sizes = [(f"{side}×{side}", f"{share:.1%}", n) for side, share, n in summary.small]
        headers = ("input", f"things below {SMALL_SIDE}×{SMALL_SIDE}", "number")
        print(f"\n{tabulate(sizes, headers, disable_numparse=True)}")


def print_findings(
    findings: Sequence[Finding], most: int, allowed: Collection[str], denied: Collection[str]
) -> None:
    """Prints how often each kind was found, and the first of each: faults, then notes.

    Args:
        findings: all of them.
        most: findings of a kind that are printed.
        allowed: kinds of faults that are accepted.
        denied: kinds of notes that are not.
    """
    faults = {**KINDS, **{kind: NOTES[kind] for kind in NOTES if kind in denied}}
    notes = {kind: meaning for kind, meaning in NOTES.items() if kind not in denied}
    if not any(finding.kind in faults for finding in findings):
        print("\nNo fault found.")
    for title, kinds in (("fault", faults), ("note", notes)):
        _print_kinds(title, kinds, [f for f in findings if f.kind in kinds], most, allowed)


def _print_kinds(
    title: str,
    kinds: Mapping[str, str],
    findings: Sequence[Finding],
    most: int,
    allowed: Collection[str],
) -> None:
    counts = Counter(finding.kind for finding in findings)
    rows = [
        (kind, counts[kind], "allowed" if kind in allowed else "", meaning)
        for kind, meaning in kinds.items()
        if counts[kind]
    ]
    if rows:
        print(f"\n{tabulate(rows, (title, 'found', '', 'meaning'))}")
    for kind in (row[0] for row in rows):
        found = [finding for finding in findings if finding.kind == kind]
        print(f"\n{kind}", *(f"  {finding}" for finding in found[:most]), sep="\n")
        if len(found) > most:
            print(f"  … and {len(found) - most} more (--list {len(found)})")
