r"""Converts labels into a COCO-panoptic dataset: a folder with panoptic.json and panoptic/*.png.

    python datasets/convert.py pngs --images IMAGES --semantic SEMANTIC --instances INSTANCES \
        --classes classes.tsv --output data/train
    python datasets/convert.py detection --json instances.json --output data/train \
        [--semantic SEMANTIC --classes classes.tsv]

The images stay where they are. The same input always gives the same files. A run that was
interrupted goes on when it is started again; images that cannot be converted are all named.

Stuff lies below crowds, crowds below things; where things overlap the smaller is on top, of equal
ones the later. --split 0.8,0.2 makes train/ and val/ (and, with a third share, test/) below the
output, copies of one image always in the same part; --split train=a.txt,val=b.txt takes lists of
names. --background CLASS makes stuff of what no label marks. dataset.yaml beside the parts tells
training where everything lies.

pngs: files are matched by name (subfolders included). Semantic PNGs hold class values, instance
PNGs instance ids: as grey values of 8 or 16 bits, palette indices, or colours R + 256 G + 65536 B.
Stuff becomes a segment a class, things a segment for each pair of class and instance id; thing
pixels with instance id 0 become a crowd, which training and evaluation ignore. Of the classes in
--components each connected component (8 neighbours) is a thing; components that probably hold
several objects, which touch, are counted. Masks of 0 and one other value need no --classes.

detection: all categories are things, but for the project that Roboflow lists among them, which is
dropped. The stuff of semantic PNGs lies below them.

panoptic: COCO-panoptic JSON and PNGs of a tool (CVAT and others through Datumaro, segments.ai),
repaired: areas, boxes, colours and ids are made anew, segments that no pixel shows are dropped.
Where the JSON calls no class a thing, --things must.

    python datasets/convert.py panoptic --json annotations/panoptic_default.json \
        --images IMAGES --things CLASS CLASS --output data/cells --split 0.8,0.2

labelstudio: a project exported as JSON: brushes, bitmasks, polygons, ellipses. Images are looked
for by the ends of the places that tasks name, "cat.png" for /data/upload/1/1a2b3c4d-cat.png. Of
several annotations of an image the ground truth counts, else the last that was not cancelled.

    python datasets/convert.py labelstudio --json project.json --images IMAGES --output data/cells

cvat: "CVAT for images 1.1": polygons, masks, ellipses. Shapes of one label in one group are one
object; a higher z_order is on top whatever the sizes. Subsets become train/, val/ and test/.

    python datasets/convert.py cvat --xml annotations.xml --images IMAGES --output data/cells

masks: one file an object, MASKS/NAME/*.png or MASKS/NAME/CLASS/*.png for IMAGES/NAME.jpg; without
--masks, IMAGES has a folder for each image with images/ and masks/, as the 2018 Data Science Bowl
has. A pixel belongs to an object above half of the largest value of its mask.

    python datasets/convert.py masks --images IMAGES --masks MASKS --class nucleus \
        --output data/cells

voc: Pascal VOC segmentation, ROOT/{JPEGImages,SegmentationClass,SegmentationObject}. The lists in
ImageSets/Segmentation are the parts. Classes are those of labelmap.txt (CVAT) or of VOC; 255 is
void, "background" stuff, all else things.

    python datasets/convert.py voc --root VOCdevkit/VOC2012 --output data/voc

yolo: YOLO segmentation, by its data.yaml, or a folder with images/, labels/ and classes.txt. Lines
are outlines, drawn by COCO's rule; boxes are refused. No label file means no object.

    python datasets/convert.py yolo --data data.yaml --output data/mine

labelme: a folder of LabelMe's JSONs: polygons, rectangles, circles, masks. Shapes of one label and
group are one object; points and lines are dropped and counted.

    python datasets/convert.py labelme --json FOLDER --output data/mine --split 0.8,0.2

classes: a table with tabs between the columns id, name, isthing (1 or 0) and, if wanted, color
("255,0,0"); or a JSON list of such objects, or a JSON with such a list under "categories".
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from label_formats import FORMATS
from tabulate import tabulate
from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.data.check.query_count import (
    KEY,
    describe_distribution,
    describe_excess,
    propose_queries,
)
from kmax_deeplab.data.convert.changes import choose_target, parse_changes
from kmax_deeplab.data.convert.conversion import convert
from kmax_deeplab.data.convert.parts import assign_parts
from kmax_deeplab.data.convert.written import Written
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.writer import JSON, PNGS

DEFAULT_QUERIES = 128
"""Number of queries that the configs for COCO, ADE20K and own data have."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for name, one in FORMATS.items():
        added = commands.add_parser(name, help=one.help, description=one.help)
        add_common_options(added)
        one.add_options(added)
    return parser.parse_args(arguments)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that every format has."""
    add = parser.add_argument
    add("--output", type=Path, required=True, help="new folder of the dataset")
    add("--split", help="0.8,0.2 or train=train.txt,val=val.txt; default: as the format says")
    add("--seed", type=int, default=0, help="of a split by shares")
    add("--things", nargs="*", metavar="CLASS", help="these are things, all others are stuff")
    add("--rename", nargs="*", default=[], metavar="OLD=NEW", help="rename classes")
    add("--merge", nargs="*", default=[], metavar="NEW=OLD,OLD", help="make one class of several")
    add(
        "--ignore",
        nargs="*",
        default=[],
        metavar="CLASS",
        help="classes, or values of label PNGs (default 255), whose pixels become unlabelled",
    )
    add("--background", metavar="CLASS", help="pixels that no label marks become this stuff")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes")


def show(records: Iterator[dict], total: int) -> Iterator[dict]:
    """Shows the progress of a conversion."""
    return tqdm(records, total=total, unit="image", dynamic_ncols=True)


def run(args: argparse.Namespace) -> None:
    """Converts and says what came out."""
    source = FORMATS[args.format].find(args)
    for sentence in source.notes:
        print(sentence)
    changes = parse_changes(args.rename, args.merge, args.ignore, args.things, args.background)
    target = choose_target(source.categories, changes)
    parts = assign_parts(source, args.split, args.seed)
    if missing := len(source.images) - len(parts):
        print(f"{missing} images are in no part and are left out.")
    written = convert(source, target, parts, args.output, workers=args.workers, progress=show)
    for part, one in written.items():
        place = args.output / part
        print(f"{place / JSON}, {place / PNGS}/: {one.images} images")
    for sentence in describe(written, target.categories):
        print(sentence)


def describe(written: Mapping[str, Written], categories: Categories) -> Iterator[str]:
    """Yields what somebody should know of a new dataset, classes as a table.

    Args:
        written: by part.
        categories: of the dataset.
    """
    every = list(written.values())
    crowds = sum(one.crowds for one in every)
    counted = f", {crowds} of them crowds, which count for nothing" if crowds else ""
    yield f"{sum(one.segments.total() for one in every)} segments{counted}."
    names = [name or "segments" for name in written]
    rows = [
        (name, "thing" if is_thing else "stuff", *(one.segments[name] for one in every))
        for _, name, is_thing in categories.rows()
    ]
    yield tabulate(rows, ("class", "kind", *names), disable_numparse=True)
    yield from describe_losses(every)
    used = sum((one.segments for one in every), Counter())
    if unused := [name for name in categories.names if not used[name]]:
        yield f"Classes without a segment: {', '.join(unused)}."
    needed = [count for one in every for count in one.needed.elements()]
    proposal = f"{KEY} {propose_queries(needed)} is enough"
    yield f"Queries that an image needs: {describe_distribution(needed)}; {proposal}."
    if excess := describe_excess("warning", needed, DEFAULT_QUERIES):
        yield excess


def describe_losses(every: Sequence[Written]) -> Iterator[str]:
    """Yields what of the labels is not in the dataset as it was, and why."""
    if left_out := sum(one.left_out for one in every):
        yield f"Left out {left_out} segments: they have no pixel, or others cover them."
    if contested := sum(one.contested for one in every):
        images = sum(one.overlapping for one in every)
        yield (
            f"Things overlap in {images} images, on {contested} pixels: there the smaller is on "
            "top, of equal ones the later."
        )
    for reason, count in sum((one.dropped for one in every), Counter()).most_common():
        yield f"Dropped {count}: {reason}."
    for note, count in sum((one.notes for one in every), Counter()).most_common():
        yield f"{note}: {count}."


def main(arguments: list[str] | None = None) -> None:
    """Converts what the command line names."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
