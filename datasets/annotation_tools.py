"""Words of datasets/convert.py for the exports of annotation tools; a source of labels leaves."""

import argparse
from pathlib import Path

from kmax_deeplab.data.convert.from_cvat import find_cvat
from kmax_deeplab.data.convert.from_label_studio import find_label_studio
from kmax_deeplab.data.convert.from_panoptic import find_panoptic
from kmax_deeplab.data.convert.labels import Source


def add_label_studio_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a Label Studio export."""
    add = parser.add_argument
    add("--json", type=Path, required=True, help="the project, exported as JSON")
    add("--images", type=Path, required=True, help="folder of the images that were labelled")
    add("--labels", nargs="+", metavar="CLASS", help="the classes in their order; default: by name")
    add("--image-field", help='of a task\'s data that names its image; default: "image", if it has')


def find_label_studio_tasks(args: argparse.Namespace) -> Source:
    """Finds the tasks of a Label Studio export."""
    return find_label_studio(args.json, args.images, args.labels, args.image_field)


def add_cvat_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of CVAT's own export."""
    add = parser.add_argument
    add("--xml", type=Path, required=True, help="annotations.xml, or the folder it lies in")
    add("--images", type=Path, required=True, help="folder of the images that were labelled")


def find_cvat_images(args: argparse.Namespace) -> Source:
    """Finds the images of CVAT's own export."""
    return find_cvat(args.xml, args.images)


def add_panoptic_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a COCO-panoptic export."""
    add = parser.add_argument
    add("--json", type=Path, required=True)
    add("--pngs", type=Path, help="folder of the PNGs; default: beside the JSON, named like it")
    add("--images", type=Path, help="folder of the images, for --split; their sizes are compared")


def find_panoptic_images(args: argparse.Namespace) -> Source:
    """Finds the images of a COCO-panoptic export."""
    return find_panoptic(args.json, args.pngs, args.images, kinds_said=args.things is not None)
