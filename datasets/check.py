"""Checks panoptic datasets; says what is wrong, file by file, and draws random samples.

    python datasets/check.py ade20k_panoptic_val                  # registered names
    python datasets/check.py --json a.json --images images --pngs pngs
    python datasets/check.py --config-file CONFIG.yaml DATASETS.PANOPTIC "[{'name': …}]"

Exit status 0 if nothing is wrong, 1 if something is; --allow KIND accepts a kind of fault.
--fix OUT.json writes a copy of the JSON with true areas and boxes, iscrowd 0 where it was missing,
without segments that have no pixel; --things NAMES makes these classes things in it. Kinds of
faults:
"""

import argparse
import os
import zlib
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from kmax_deeplab import command
from kmax_deeplab.data.check.dataset_check import (
    DatasetReport,
    Source,
    check_dataset,
    check_strays,
    count_classes,
    count_needed_queries,
)
from kmax_deeplab.data.check.findings import KINDS, Finding
from kmax_deeplab.data.check.image_check import fixed_content
from kmax_deeplab.data.check.query_count import KEY, describe_distribution, propose_queries
from kmax_deeplab.visualize.samples import draw_samples
from kmax_deeplab.whole_files import write_json, write_png

PLACES = ("json", "images", "pngs")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    width = max(map(len, KINDS)) + 2
    kinds = "\n".join(f"  {kind:<{width}}{meaning}" for kind, meaning in KINDS.items())
    parser = argparse.ArgumentParser(
        description=__doc__ + kinds, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for place in PLACES:
        parser.add_argument(f"--{place}", help="of a dataset of your own")
    parser.add_argument("--config-file", help="check what its DATASETS.PANOPTIC lists")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("output/check"), help="of the pictures")
    parser.add_argument("--samples", type=int, default=12, help="images in the picture; 0: none")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--list", type=int, default=10, help="findings of a kind that are printed")
    parser.add_argument("--allow", action="append", default=[], choices=KINDS, metavar="KIND")
    parser.add_argument("--fix", type=Path, metavar="OUT.json")
    parser.add_argument("--things", nargs="+", default=[], metavar="NAME", help="for --fix")
    parser.add_argument("names", nargs="*", metavar="NAME", help="or KEY VALUE, for --config-file")
    args = parser.parse_args(arguments)
    if args.things and not args.fix:
        parser.error("--things changes a copy of the JSON: name it with --fix OUT.json")
    given = [getattr(args, place) for place in PLACES]
    if any(given) and (not all(given) or args.names or args.config_file):
        parser.error("--json, --images and --pngs belong together, without other names")
    if not (any(given) or args.names or args.config_file):
        parser.error("name datasets, or give --json --images --pngs, or a --config-file")
    return args


def find_sources(args: argparse.Namespace) -> list[Source]:
    """Returns the datasets that the command line asks for.

    Raises:
        ValueError: a name is not registered, or there is nothing to check.
    """
    if args.json:
        path = Path(args.json).absolute()
        name = f"{path.parent.name}_{path.stem}"
        return [Source(name, args.images, args.json, args.pngs)]
    # Only these need Detectron2.
    from kmax_deeplab.d2.config.run import load_config
    from kmax_deeplab.d2.data.catalog import register_from_config
    from kmax_deeplab.d2.data.sources import panoptic_source

    if not args.config_file:
        return [panoptic_source(name) for name in args.names]
    cfg = load_config(args.config_file, args.names)
    register_from_config(cfg)
    names = [entry["name"] for entry in cfg.DATASETS.PANOPTIC]
    names = names or list(dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)))
    if not names:
        raise ValueError(f"{args.config_file} and the command line name no dataset to check")
    return [panoptic_source(name) for name in names]


def print_report(report: DatasetReport) -> None:
    """Prints where a dataset lies, what it holds, and its classes."""
    source, content = report.source, report.content
    segments = [s for pair in report.pairs for s in pair.annotation["segments_info"]]
    classes, needed = count_classes(report), count_needed_queries(report)
    pixels = sum(image.pixels for image in report.reports.values())
    labelled = sum(count.pixels for count in classes)
    rows = [
        ("images", f"{len(content.get('images', ()))} in {source.images}"),
        ("annotated", f"{len(report.pairs)} with PNGs in {source.pngs}"),
        ("segments", f"{len(segments)}, {sum(bool(s.get('iscrowd')) for s in segments)} crowds"),
        ("categories", f"{len(classes)} in {source.json}"),
        ("never used", ", ".join(c.name for c in classes if not c.segments) or "none"),
        ("queries", f"needed by an image: {describe_distribution(needed)}"),
        ("", f"{KEY} {propose_queries(needed)} is enough"),
        ("unlabelled", f"{1 - labelled / pixels:.1%} of the pixels" if pixels else "unknown"),
    ]
    print(f"\n{source.name}\n{tabulate(rows, tablefmt='plain')}\n")
    table = [
        (c.name, "thing" if c.is_thing else "stuff", c.images, c.segments, c.crowds, c.pixels)
        for c in classes
    ]
    headers = ("class", "kind", "images", "segments", "crowds", "pixels")
    if table:
        print(tabulate(table, headers, disable_numparse=True))


def print_findings(findings: list[Finding], most: int, allowed: list[str]) -> None:
    """Prints how often each kind of fault was found, and the first of each."""
    counts = Counter(finding.kind for finding in findings)
    rows = [
        (kind, counts[kind], "allowed" if kind in allowed else "", meaning)
        for kind, meaning in KINDS.items()
        if counts[kind]
    ]
    print(f"\n{tabulate(rows, ('fault', 'found', '', 'meaning'))}" if rows else "\nNo fault found.")
    for kind in (row[0] for row in rows):
        found = [finding for finding in findings if finding.kind == kind]
        print(f"\n{kind}", *(f"  {finding}" for finding in found[:most]), sep="\n")
        if len(found) > most:
            print(f"  … and {len(found) - most} more (--list {len(found)})")


def write_fixed(path: Path, report: DatasetReport, things: list[str]) -> None:
    """Writes a copy of the JSON with what can be mended.

    Raises:
        ValueError: there is such a file, the JSON cannot be used, or has no such things.
    """
    if path.exists():
        raise ValueError(f"--fix {path}: there is such a file; name a new one")
    if not report.content:
        raise ValueError(f"--fix: {report.source.json} cannot be used, see its faults")
    write_json(path, fixed_content(report.content, report.reports, things))
    print(f"\n{path}: a copy of {report.source.json} with what could be mended")


def sheet_name(source: Source) -> str:
    """Names the picture of a dataset; another dataset of that name gets another picture."""
    place = str(Path(source.json).absolute()).encode()
    return f"{source.name}_{zlib.crc32(place):08x}.png"


def run(args: argparse.Namespace) -> int:
    """Checks, prints, draws; returns the number of faults that are not allowed."""
    sources = find_sources(args)
    if args.fix and len(sources) != 1:
        raise ValueError(f"--fix writes one JSON, but there are {len(sources)} datasets")
    reports = [check_dataset(source, args.workers) for source in sources]
    for report in reports:
        print_report(report)
        picture = draw_samples(report, args.samples, args.seed)
        if picture is not None:
            path = args.output / sheet_name(report.source)
            write_png(path, picture)
            print(f"\nsamples: {path}")
        if args.fix:
            write_fixed(args.fix, report, args.things)
    findings = [finding for report in reports for finding in report.findings]
    findings += check_strays(reports)
    print_findings(findings, args.list, args.allow)
    return sum(finding.kind not in args.allow for finding in findings)


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if anything is wrong."""
    args = parse_args(arguments)
    command.run(lambda: int(run(args) > 0))


if __name__ == "__main__":
    main()
