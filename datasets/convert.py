"""Converts labels into a COCO-panoptic dataset: a folder with panoptic.json and panoptic/*.png.

    python datasets/convert.py pngs --images IMAGES --semantic SEMANTIC --instances INSTANCES \
        --classes classes.tsv --output data/train
    python datasets/convert.py detection --json instances.json --output data/train \
        [--semantic SEMANTIC --classes classes.tsv]

The images stay where they are. The same input always gives the same files.

pngs: files are matched by name (subfolders included). Semantic PNGs hold class values, instance
PNGs instance ids: as grey values of 8 or 16 bits, palette indices, or colours R + 256 G + 65536 B.
Stuff becomes a segment a class, things a segment for each pair of class and instance id; thing
pixels with instance id 0 become a crowd, which training and evaluation ignore.

detection: all categories are things. Where masks overlap the smaller is on top; crowds lie below
the things, stuff of the semantic PNGs below the crowds.

classes: a table with tabs between the columns id, name, isthing (1 or 0) and, if wanted, color
("255,0,0"); or a JSON list of such objects, or a JSON with such a list under "categories".
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.data.check.query_count import (
    KEY,
    describe_distribution,
    describe_excess,
    propose_queries,
)
from kmax_deeplab.data.convert.from_detection import draw_images, join_categories, read_detection
from kmax_deeplab.data.convert.from_label_pngs import LabelFolders, draw_files, match_folders
from kmax_deeplab.data.format.categories import Categories, read_categories
from kmax_deeplab.data.format.writer import JSON, PNGS, Written, write_dataset

DEFAULT_QUERIES = 128
"""Number of queries that the configs for COCO, ADE20K and own data have."""
UNLABELLED = 255
"""Value that means unlabelled unless --ignore says otherwise or a class has it."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--output", type=Path, required=True, help="new folder of the dataset")
    common.add_argument(
        "--ignore", type=int, nargs="*", help=f"values of unlabelled pixels (default {UNLABELLED})"
    )
    common.add_argument(
        "--semantic-ending", default="", help='"_labels" for images/a.jpg, a_labels.png'
    )
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pngs = commands.add_parser("pngs", parents=[common], help="from semantic and instance PNGs")
    pngs.add_argument("--images", type=Path, required=True)
    pngs.add_argument("--semantic", type=Path, required=True)
    pngs.add_argument("--instances", type=Path, help="not needed if all classes are stuff")
    pngs.add_argument("--instance-ending", default="")
    pngs.add_argument("--classes", type=Path, required=True)
    detection = commands.add_parser("detection", parents=[common], help="from COCO detection JSON")
    detection.add_argument("--json", type=Path, required=True)
    detection.add_argument("--semantic", type=Path, help="PNGs of class values, for stuff")
    detection.add_argument("--classes", type=Path, help="the stuff of the semantic PNGs")
    args = parser.parse_args(arguments)
    if args.command == "detection" and (args.semantic is None) != (args.classes is None):
        parser.error("--semantic and --classes belong together")
    return args


def convert_pngs(args: argparse.Namespace) -> Written:
    """Converts label PNGs."""
    categories = read_categories(args.classes)
    folders = LabelFolders(
        args.images, args.semantic, args.instances, args.semantic_ending, args.instance_ending
    )
    files = match_folders(folders, categories)
    sure, ignore = args.ignore is not None, ignored(args, categories)
    drawn = draw_files(files, args.images, categories, ignore, sure=sure)
    progress = tqdm(drawn, total=len(files), unit="image")
    return write_dataset(args.output, progress, categories)


def convert_detection(args: argparse.Namespace) -> Written:
    """Converts a detection JSON."""
    detection = read_detection(args.json)
    stuff = read_categories(args.classes) if args.classes else None
    categories = join_categories(detection.categories, stuff)
    drawn = draw_images(
        detection, categories, args.semantic, args.semantic_ending, ignored(args, categories)
    )
    progress = tqdm(drawn, total=len(detection.images), unit="image")
    return write_dataset(args.output, progress, categories)


def ignored(args: argparse.Namespace, categories: Categories) -> list[int]:
    """Returns the values of unlabelled pixels.

    Raises:
        ValueError: a value is a class as well.
    """
    if args.ignore is None:
        return [] if UNLABELLED in categories.ids else [UNLABELLED]
    if both := sorted(set(args.ignore) & set(categories.ids)):
        raise ValueError(f"the values {both} are classes and ignored at once: correct --ignore")
    return args.ignore


def run(args: argparse.Namespace) -> None:
    """Converts and says what came out."""
    written = {"pngs": convert_pngs, "detection": convert_detection}[args.command](args)
    print(f"{args.output / JSON}, {args.output / PNGS}/: {written.images} images")
    for sentence in describe(written):
        print(sentence)


def describe(written: Written) -> Iterator[str]:
    """Yields what somebody should know of a new dataset."""
    crowds = f", {written.crowds} of them crowds, which count for nothing" if written.crowds else ""
    yield f"{written.segments} segments{crowds}."
    if written.left_out:
        yield f"Left out {written.left_out} segments: they have no pixel, or others cover them."
    if written.unused:
        yield f"Classes without a segment: {', '.join(written.unused)}."
    proposal = f"{KEY} {propose_queries(written.needed)} is enough"
    yield f"Queries that an image needs: {describe_distribution(written.needed)}; {proposal}."
    if excess := describe_excess("warning", written.needed, DEFAULT_QUERIES):
        yield excess


def main(arguments: list[str] | None = None) -> None:
    """Converts what the command line names."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
