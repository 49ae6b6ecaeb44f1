"""Panoptic datasets in Detectron2's catalogs, described by a JSON and two folders.

What enters: a name, the images' folder, the COCO-panoptic JSON and its PNGs' folder, or a config
that lists such datasets in DATASETS.PANOPTIC. What leaves: entries of `DatasetCatalog` and
`MetadataCatalog`. Nothing is read before someone asks for the records or the categories.
"""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from kmax_deeplab.d2.data.shared import read_shared
from kmax_deeplab.data.format.categories import Categories, align
from kmax_deeplab.data.format.zips import is_folder

logger = logging.getLogger(__name__)

ENTRY_KEYS = ("name", "images", "json", "pngs")
OPTIONAL_KEYS = ("evaluator",)
OTHER_THAN_PUBLISHED = (
    "lists other categories than the published ones, or in another order: prepare it again "
    "(datasets/README.md), or name it in DATASETS.PANOPTIC"
)
REMEDY = "create it (datasets/README.md) or correct the dataset's entry in DATASETS.PANOPTIC"


class PanopticMetadata(Metadata):
    """Metadata of a panoptic dataset; what follows from its categories is read when asked for."""

    CATEGORY_KEYS = frozenset(
        {"categories"}
        | {f"{kind}_{what}" for kind in ("thing", "stuff") for what in ("classes", "colors")}
        | {f"{kind}_dataset_id_to_contiguous_id" for kind in ("thing", "stuff")}
    )

    def __getattr__(self, key: str) -> object:
        if key not in self.CATEGORY_KEYS:
            return super().__getattr__(key)
        content = read_panoptic_json(self.panoptic_json, self.name)
        self.describe(Categories.from_json(content["categories"]))
        return self.__dict__[key]

    def is_described(self) -> bool:
        """Returns whether the categories have been read or given."""
        return "categories" in self.__dict__

    def describe(self, categories: Categories) -> None:
        """Stores the categories, and Detectron2's view of them.

        As for Detectron2's own panoptic datasets, things and stuff share the contiguous indices,
        and both lists of names and of colours hold all classes.
        """
        indices = list(categories.contiguous.items())
        names, colors = list(categories.names), [list(color) for color in categories.colors]
        self.__dict__.update(
            categories=categories,
            thing_classes=names,
            stuff_classes=names,
            thing_colors=colors,
            stuff_colors=colors,
            thing_dataset_id_to_contiguous_id={i: c for i, c in indices if categories.is_thing[c]},
            stuff_dataset_id_to_contiguous_id={
                i: c for i, c in indices if not categories.is_thing[c]
            },
        )


def register_panoptic(
    name: str, images: str, json: str, pngs: str, evaluator: str = "coco_panoptic_seg"
) -> None:
    """Registers a panoptic dataset under a name; the same registration twice is harmless.

    Args:
        name: name for DATASETS.TRAIN and DATASETS.TEST.
        images: folder below which the JSON's images lie; like `pngs`, it may lie in a zip.
        json: COCO-panoptic JSON.
        pngs: folder below which the JSON's panoptic PNGs lie.
        evaluator: which metrics it is evaluated by, of `evaluation.build.EVALUATORS`.

    Raises:
        ValueError: the name belongs to another dataset already.
    """
    images, json, pngs = (str(Path(path).expanduser()) for path in (images, json, pngs))
    places = {"image_root": images, "panoptic_json": json, "panoptic_root": pngs}
    places |= {"evaluator_type": evaluator}
    if name in DatasetCatalog:
        registered = MetadataCatalog.get(name)
        before = {key: registered.get(key) for key in places}
        if before != places:
            raise ValueError(
                f"dataset {name!r} is registered already with {before}, not {places}: "
                "choose another name in DATASETS.PANOPTIC"
            )
        return
    MetadataCatalog[name] = PanopticMetadata(
        name=name,
        ignore_label=255,
        label_divisor=1000,
        **places,
    )
    DatasetCatalog.register(name, partial(load_panoptic, name, images, json, pngs))


def register_from_config(cfg: CfgNode) -> None:
    """Registers every dataset that DATASETS.PANOPTIC lists.

    Raises:
        ValueError: an entry does not consist of name, images, json and pngs.
    """
    for entry in cfg.DATASETS.PANOPTIC:
        keys = set(entry) - set(OPTIONAL_KEYS) if isinstance(entry, Mapping) else set()
        if keys != set(ENTRY_KEYS):
            raise ValueError(
                f"DATASETS.PANOPTIC: {entry!r} must be a mapping with the keys {list(ENTRY_KEYS)} "
                f"and, if wanted, {list(OPTIONAL_KEYS)}"
            )
        register_panoptic(**entry)


def align_dataset(name: str, classes: Categories, *, whole: bool = False) -> None:
    """Makes a registered dataset number its categories as a model numbers its classes.

    Args:
        name: of the dataset.
        classes: of the model.
        whole: see `align`.

    Raises:
        ValueError: the dataset has other categories (see `align`), or it is a benchmark,
            whose order is fixed, and has another order.
    """
    own, metadata = categories_of(name), MetadataCatalog.get(name)
    if own is None:
        return
    try:
        aligned = align(own, classes, whole=whole)
    except ValueError as error:
        raise ValueError(f"dataset {name!r} does not fit the model's classes: {error}") from error
    if isinstance(metadata, PanopticMetadata) and not metadata.get("published"):
        metadata.describe(aligned)
    elif aligned.ids != own.ids:
        raise ValueError(
            f"dataset {name!r} numbers its classes otherwise than the model, beginning with "
            f"{list(own.names[:5])}, the model with {list(classes.names[:5])}; list it in "
            "DATASETS.PANOPTIC under another name to have them mapped"
        )


def categories_of(name: str) -> Categories | None:
    """Returns the categories of a registered dataset, of Detectron2's own panoptic ones too.

    Returns:
        None for a dataset whose metadata say nothing about panoptic classes.

    Raises:
        FileNotFoundError, ValueError: the JSON that lists the categories cannot be used.
    """
    metadata = MetadataCatalog.get(name)
    if categories := metadata.get("categories"):
        return categories
    things = metadata.get("thing_dataset_id_to_contiguous_id")
    stuff = metadata.get("stuff_dataset_id_to_contiguous_id")
    if things is None or stuff is None or not metadata.get("stuff_classes"):
        return None
    names, colors = metadata.stuff_classes, metadata.get("stuff_colors")
    ids = {index: category_id for category_id, index in (stuff | things).items()}
    if sorted(ids) != list(range(len(names))):
        return None  # things and stuff are counted apart: no panoptic classes
    listed = [
        {"id": ids[index], "name": names[index], "isthing": ids[index] in things}
        | ({"color": list(colors[index])} if colors else {})
        for index in range(len(names))
    ]
    return Categories.from_json(listed)


def read_panoptic_json(path: str, name: str) -> dict:
    """Reads a COCO-panoptic JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be relied on (see `contents.read_panoptic`).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: the JSON of dataset {name!r} does not exist; {REMEDY}")
    return read_shared(path)


def panoptic_jsons(names: Iterable[str]) -> list[str]:
    """Returns the JSONs of registered datasets; others than ours have none."""
    found = (MetadataCatalog.get(name) for name in names)
    return [m.panoptic_json for m in found if isinstance(m, PanopticMetadata)]


def load_panoptic(
    name: str, images: str, json: str, pngs: str, published: Categories | None = None
) -> list[dict]:
    """Reads the records of a dataset in the form of Detectron2's panoptic datasets.

    Args:
        name: of the dataset.
        images, json, pngs: see `register_panoptic`.
        published: the categories that a benchmark must have, in their order.

    Returns:
        One record per annotated image: "file_name", "pan_seg_file_name", "image_id", "height" and
        "width" where the JSON has them, and "segments_info" with contiguous "category_id".

    Raises:
        FileNotFoundError: the JSON or a folder is missing.
        ValueError: the JSON contradicts itself or describes no annotated image.
    """
    for what, folder in (("images", images), ("panoptic PNGs", pngs)):
        if not is_folder(folder):
            raise FileNotFoundError(
                f"{folder}: the folder of the {what} of dataset {name!r} does not exist; {REMEDY}"
            )
    content = read_panoptic_json(json, name)
    try:
        metadata, listed = MetadataCatalog.get(name), Categories.from_json(content["categories"])
        if published and (listed.ids, listed.is_thing) != (published.ids, published.is_thing):
            raise ValueError(OTHER_THAN_PUBLISHED)
        if not metadata.is_described():  # or somebody aligned them with a model's classes
            metadata.describe(listed)
        categories = metadata.categories
        return [
            {
                **{key: image[key] for key in ("height", "width") if key in image},
                "file_name": str(Path(images, image["file_name"])),
                "pan_seg_file_name": str(Path(pngs, annotation["file_name"])),
                "image_id": image["id"],
                "segments_info": describe_segments(annotation, categories),
            }
            for image, annotation in pair_annotations(content, name)
        ]
    except ValueError as error:
        raise ValueError(f"{json}: {error}") from error


def pair_annotations(content: Mapping, name: str) -> list[tuple[dict, dict]]:
    """Pairs the images of a COCO-panoptic JSON with their annotations; logs how many have none.

    Raises:
        ValueError: an annotation belongs to no listed image, or nothing is annotated.
    """
    annotations = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    listed = [image["id"] for image in content["images"]]
    if strangers := list(annotations.keys() - set(listed)):
        raise ValueError(f"annotates images that it does not list, e.g. {strangers[:5]}")
    if not annotations:
        raise ValueError(f"dataset {name!r} has no annotated image")
    if bare := [image_id for image_id in listed if image_id not in annotations]:
        logger.warning(
            "dataset %r: left out %d of %d images, which have no annotation, e.g. %s",
            *(name, len(bare), len(listed), bare[:5]),
        )
    return [
        (image, annotations[image["id"]])
        for image in content["images"]
        if image["id"] in annotations
    ]


def describe_segments(annotation: Mapping, categories: Categories) -> list[dict]:
    """Replaces category ids of an image's segments by contiguous classes and adds "isthing".

    Raises:
        ValueError: a segment has a category that the dataset does not list.
    """
    segments = annotation["segments_info"]
    used = {segment["category_id"] for segment in segments}
    if unknown := sorted(used - categories.contiguous.keys()):
        raise ValueError(
            f"image {annotation['image_id']!r} has segments of the categories {unknown}; "
            f"listed are {list(categories.ids)}"
        )
    classes = [categories.contiguous[segment["category_id"]] for segment in segments]
    return [
        {**segment, "category_id": index, "isthing": categories.is_thing[index]}
        for segment, index in zip(segments, classes, strict=True)
    ]
