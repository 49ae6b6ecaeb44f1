"""The formats that datasets/convert.py reads: words of the command line enter, a source leaves."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation_tools import (
    add_cvat_options,
    add_label_studio_options,
    add_panoptic_options,
    find_cvat_images,
    find_label_studio_tasks,
    find_panoptic_images,
)

from kmax_deeplab.data.convert.from_detection import find_detection
from kmax_deeplab.data.convert.from_label_pngs import (
    LabelFolders,
    find_label_pngs,
    find_mask_class,
)
from kmax_deeplab.data.convert.from_labelme import find_labelme
from kmax_deeplab.data.convert.from_masks import find_masks
from kmax_deeplab.data.convert.from_voc import find_voc
from kmax_deeplab.data.convert.from_yolo import find_yolo
from kmax_deeplab.data.convert.labels import Source
from kmax_deeplab.data.format.categories import Categories, read_categories

UNLABELLED = 255
"""Value that means unlabelled unless --ignore says otherwise or a class has it."""


@dataclass(frozen=True)
class Format:
    """A format: what it is, its options beside the common ones, and how its labels are found."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    find: Callable[[argparse.Namespace], Source]


def add_pngs_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of label PNGs."""
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--semantic", type=Path, required=True)
    parser.add_argument("--instances", type=Path, help="not needed if all classes are stuff")
    parser.add_argument("--instance-ending", default="")
    parser.add_argument("--classes", type=Path, help="not needed for masks of one --components")
    parser.add_argument(
        "--components",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="classes whose objects are connected components: none touches another",
    )
    _add_semantic_ending(parser)


def find_pngs(args: argparse.Namespace) -> Source:
    """Finds label PNGs.

    Raises:
        ValueError: without --classes there is not one class of --components.
    """
    folders = LabelFolders(
        args.images, args.semantic, args.instances, args.semantic_ending, args.instance_ending
    )
    if args.classes is None:
        if len(args.components) != 1:
            raise ValueError("give --classes; only masks of one class in --components need none")
        categories, values, sure = find_mask_class(folders, *args.components), [], True
    else:
        categories = read_categories(args.classes)
        values, sure = ignored_values(args, categories)
    names = split_words(args.components, categories)
    return find_label_pngs(folders, categories, values, sure=sure, components=names)


def split_words(words: Sequence[str], categories: Categories) -> list[str]:
    """Returns names of classes, given one by one or with commas between them."""
    return [
        name for word in words for name in ([word] if word in categories.names else word.split(","))
    ]


def add_detection_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a COCO detection JSON."""
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument(
        "--images", type=Path, help="folder of the images, for --split; their sizes are compared"
    )
    parser.add_argument("--semantic", type=Path, help="PNGs of class values, for stuff")
    parser.add_argument("--classes", type=Path, help="the stuff of the semantic PNGs")
    _add_semantic_ending(parser)


def find_detections(args: argparse.Namespace) -> Source:
    """Finds the images of a detection JSON.

    Raises:
        ValueError: --semantic comes without --classes, or the other way round.
    """
    if (args.semantic is None) != (args.classes is None):
        raise ValueError("--semantic and --classes belong together")
    stuff = read_categories(args.classes) if args.classes else None
    values = ignored_values(args, stuff)[0] if stuff else []
    return find_detection(
        args.json, args.images, args.semantic, stuff, args.semantic_ending, values
    )


def add_masks_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of masks per object."""
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, help="folder of a folder of masks for each image")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="class of the masks")


def find_object_masks(args: argparse.Namespace) -> Source:
    """Finds masks per object."""
    return find_masks(args.images, args.masks, args.class_name)


def add_voc_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a Pascal VOC folder."""
    parser.add_argument("--root", type=Path, required=True, help="holds SegmentationClass")
    parser.add_argument("--images", type=Path, help="default: ROOT/JPEGImages")
    parser.add_argument("--classes", type=Path, help="default: ROOT/labelmap.txt, or VOC's classes")


def find_voc_folder(args: argparse.Namespace) -> Source:
    """Finds the images of a Pascal VOC folder."""
    return find_voc(args.root, args.images, args.classes, all_stuff=args.things == [])


def add_yolo_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of YOLO segmentation."""
    parser.add_argument("--data", type=Path, required=True, help="data.yaml, or its folder")


def find_yolo_data(args: argparse.Namespace) -> Source:
    """Finds the images of YOLO segmentation."""
    return find_yolo(args.data)


def add_labelme_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of LabelMe."""
    parser.add_argument("--json", type=Path, required=True, help="folder of the JSONs")
    parser.add_argument("--images", type=Path, help="if not where the JSONs say, or beside them")


def find_labelme_jsons(args: argparse.Namespace) -> Source:
    """Finds LabelMe's JSONs."""
    return find_labelme(args.json, args.images)


def _add_semantic_ending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--semantic-ending", default="", help='"_labels" for images/a.jpg, a_labels.png'
    )


def ignored_values(args: argparse.Namespace, categories: Categories) -> tuple[list[int], bool]:
    """Takes the numbers out of --ignore, which are pixel values; names of classes stay there.

    Returns:
        The values of unlabelled pixels, and whether somebody said so.

    Raises:
        ValueError: a value is a class as well.
    """
    values = [int(word) for word in args.ignore if _is_value(word, categories)]
    args.ignore = [word for word in args.ignore if not _is_value(word, categories)]
    if both := sorted(set(values) & set(categories.ids)):
        raise ValueError(f"the values {both} are classes and ignored at once: correct --ignore")
    if values:
        return values, True
    return [] if UNLABELLED in categories.ids else [UNLABELLED], False


def _is_value(word: str, categories: Categories) -> bool:
    return word.isdecimal() and word not in categories.names


FORMATS = {
    "pngs": Format("from semantic and instance PNGs", add_pngs_options, find_pngs),
    "detection": Format("from a COCO detection JSON", add_detection_options, find_detections),
    "voc": Format("from Pascal VOC segmentation", add_voc_options, find_voc_folder),
    "yolo": Format("from YOLO segmentation", add_yolo_options, find_yolo_data),
    "labelme": Format("from LabelMe's JSONs", add_labelme_options, find_labelme_jsons),
    "masks": Format("from a mask per object", add_masks_options, find_object_masks),
    "panoptic": Format("from a COCO-panoptic export", add_panoptic_options, find_panoptic_images),
    "labelstudio": Format(
        "from a Label Studio JSON", add_label_studio_options, find_label_studio_tasks
    ),
    "cvat": Format("from an XML of CVAT for images", add_cvat_options, find_cvat_images),
}
"""By the word that chooses them."""
