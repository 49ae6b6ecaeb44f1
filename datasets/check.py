"""Checks panoptic datasets; says what is wrong, file by file, and shows them on a page.

    python datasets/check.py mine                                 # what datasets/convert.py wrote
    python datasets/check.py ade20k_panoptic_val                  # registered names
    python datasets/check.py --json a.json --images images --pngs pngs
    python datasets/check.py --config-file CONFIG.yaml DATASETS.PANOPTIC "[{'name': …}]"

Give training and validation together: images that are in both are found. The page, one HTML file,
and a picture of random samples lie in --output.

Exit status 0 if nothing is wrong, 1 if something is; --allow KIND accepts a kind of fault, --deny
KIND makes a kind of note one. --json, --images and --pngs take several datasets, in one order.
--fix OUT.json writes a copy of the JSON with true areas and boxes, iscrowd 0 where it was missing,
without segments that have no pixel; --things NAMES makes these classes things in it. Kinds of
faults:
"""

import argparse
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from check_text import print_findings, print_summary

from kmax_deeplab import command
from kmax_deeplab.data.check.dataset_check import (
    DatasetReport,
    Source,
    check_dataset,
    check_strays,
)
from kmax_deeplab.data.check.duplicates import check_duplicates
from kmax_deeplab.data.check.findings import KINDS, NOTES
from kmax_deeplab.data.check.image_check import fixed_content
from kmax_deeplab.data.check.measured import summarize
from kmax_deeplab.data.format.fragment import FRAGMENT
from kmax_deeplab.visualize.report.dataset_page import write_dataset_page
from kmax_deeplab.visualize.samples import draw_samples, sample_sheet
from kmax_deeplab.whole_files import write_json, write_png

PLACES = ("json", "images", "pngs")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    width = max(map(len, KINDS)) + 2
    faults, notes = (
        "\n".join(f"  {kind:<{width}}{meaning}" for kind, meaning in kinds.items())
        for kinds in (KINDS, NOTES)
    )
    parser = argparse.ArgumentParser(
        description=f"{__doc__}{faults}\n\nKinds of notes, on what may be right:\n{notes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for place in PLACES:
        help_ = "of datasets of your own"
        parser.add_argument(f"--{place}", nargs="+", default=[], metavar="PATH", help=help_)
    parser.add_argument("--config-file", help="check what its DATASETS.PANOPTIC lists")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--output", type=Path, default=Path("output/check"), help="of what is drawn"
    )
    parser.add_argument("--samples", type=int, default=12, help="images that are shown; 0: none")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--list", type=int, default=10, help="findings of a kind that are printed")
    for word, kinds, help_ in (
        ("allow", KINDS, "of fault that is accepted"),
        ("deny", NOTES, "of note that counts as a fault"),
    ):
        parser.add_argument(
            f"--{word}", action="append", default=[], choices=kinds, metavar="KIND", help=help_
        )
    parser.add_argument("--fix", type=Path, metavar="OUT.json", help="see above")
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
    if len({len(paths) for paths in given}) > 1:
        parser.error("--json, --images and --pngs name different numbers of datasets")
    return args


def name_json(path: str) -> str:
    """Names a dataset of one's own by its JSON and the folder that lies in."""
    whole = Path(path).absolute()
    return f"{whole.parent.name}_{whole.stem}"


def find_sources(args: argparse.Namespace) -> list[Source]:
    """Returns the datasets that the command line asks for.

    Raises:
        ValueError: a name is not registered, or there is nothing to check.
    """
    if args.json:
        places = zip(args.images, args.json, args.pngs, strict=True)
        return [Source(name_json(json), images, json, pngs) for images, json, pngs in places]
    # Only these need Detectron2.
    from kmax_deeplab.d2.config.run import load_config
    from kmax_deeplab.d2.data.catalog import register_from_config
    from kmax_deeplab.d2.data.sources import panoptic_source

    config_file, words = args.config_file, args.names
    if not config_file and len(words) == 1 and Path(words[0], FRAGMENT).is_file():
        config_file, words = str(Path(words[0], FRAGMENT)), []
    if not config_file:
        return [panoptic_source(name) for name in words]
    cfg = load_config(config_file, words)
    register_from_config(cfg)
    names = [entry["name"] for entry in cfg.DATASETS.PANOPTIC]
    names = names or list(dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)))
    if not names:
        raise ValueError(f"{config_file} and the command line name no dataset to check")
    return [panoptic_source(name) for name in names]


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


def place_name(sources: Sequence[Source]) -> str:
    """Names the files about some datasets; others of these names get files of their own."""
    places = "\n".join(str(Path(source.json).absolute()) for source in sources)
    return f"{sources[0].name}_{zlib.crc32(places.encode()):08x}"


def run(args: argparse.Namespace) -> int:
    """Checks, prints, draws; returns the number of faults that are not allowed."""
    sources = find_sources(args)
    if args.fix and len(sources) != 1:
        raise ValueError(f"--fix writes one JSON, but there are {len(sources)} datasets")
    reports = [check_dataset(source, args.workers) for source in sources]
    samples = [draw_samples(report, args.samples, args.seed) for report in reports]
    summaries = [summarize(report) for report in reports]
    for report, summary, drawn in zip(reports, summaries, samples, strict=True):
        print_summary(summary)
        if drawn:
            path = args.output / f"{place_name([report.source])}.png"
            write_png(path, sample_sheet(drawn))
            print(f"\nsamples: {path}")
        if args.fix:
            write_fixed(args.fix, report, args.things)
    findings = [finding for report in reports for finding in (*report.findings, *report.notes)]
    findings += check_strays(reports) + check_duplicates(reports)
    print_findings(findings, args.list, args.allow, args.deny)
    page = args.output / f"{place_name(sources)}.html"
    write_dataset_page(page, reports, summaries, samples, findings)
    print(f"\nOpen {page} in a browser.")
    accepted = (NOTES.keys() - set(args.deny)) | set(args.allow)
    return sum(finding.kind not in accepted for finding in findings)


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if anything is wrong."""
    args = parse_args(arguments)
    command.run(lambda: int(run(args) > 0))


if __name__ == "__main__":
    main()
