"""The benchmarks under their released names, in the folders that Detectron2 expects.

What enters: the folder of datasets. What leaves: catalog entries of COCO, Cityscapes and ADE20K
that take the place of Detectron2's own; no file is read before someone asks for the records. Where
a folder of images or PNGs is not there but its archive is, the images are read from that.

Beside what every panoptic dataset has, their metadata name the ground truth of official figures:
`json_file` (COCO's instance format), `sem_seg_root` (PNGs of classes) or, for Cityscapes, `gt_dir`.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.d2.data.catalog import PanopticMetadata, load_panoptic
from kmax_deeplab.data.convert.archives import ade20k_folder, coco_folder
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.published import published_categories

ADE20K_SPLITS = {"train": "training", "val": "validation"}


def register_benchmarks(root: Path | None = None) -> None:
    """Registers all benchmarks; done again, it replaces them.

    Args:
        root: folder of datasets; by default $DETECTRON2_DATASETS, or `datasets` where one works.
    """
    root = Path(root or os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
    for split in ("train", "val"):
        _register_coco(root / "coco", split)
        _register_cityscapes(root / "cityscapes", split)
        _register_ade20k(root / "ADEChallengeData2016", split)


def _register_coco(coco: Path, split: str) -> None:
    places = {
        "images": coco_folder(coco, f"{split}2017"),
        "json": coco / "annotations" / f"panoptic_{split}2017.json",
        "pngs": coco_folder(coco, f"panoptic_{split}2017"),
    }
    categories = published_categories("coco")
    instances = {"json_file": str(coco / "annotations" / f"instances_{split}2017.json")}
    semantics = {"sem_seg_root": str(coco / f"panoptic_semseg_{split}2017")}
    name = f"coco_2017_{split}_panoptic"
    _register(name, places, categories, **instances)
    _register(f"{name}_with_sem_seg", places, categories, **instances, **semantics)


def _register_cityscapes(cityscapes: Path, split: str) -> None:
    name = f"cityscapes_fine_panoptic_{split}"
    truth = cityscapes / "gtFine"
    places = {
        "images": cityscapes / "leftImg8bit" / split,
        "json": truth / f"cityscapes_panoptic_{split}.json",
        "pngs": truth / f"cityscapes_panoptic_{split}",
    }
    _register(
        name,
        places,
        published_categories("cityscapes"),
        load=load_cityscapes,
        evaluator_type="cityscapes_panoptic_seg",
        gt_dir=str(truth / split),
    )


def _register_ade20k(ade: Path, split: str) -> None:
    name, folder = f"ade20k_panoptic_{split}", ADE20K_SPLITS[split]
    _register(
        name,
        {
            "images": ade20k_folder(ade, f"images/{folder}"),
            "json": ade / f"{name}.json",
            "pngs": ade / name,
        },
        published_categories("ade20k"),
        json_file=str(ade / f"ade20k_instance_{split}.json"),
        sem_seg_root=str(ade / "annotations_detectron2" / folder),
    )


def _register(
    name: str,
    places: Mapping[str, Path],
    categories: Categories,
    *,
    load: Callable[..., list[dict]] = load_panoptic,
    evaluator_type: str = "coco_panoptic_seg",
    **truth: str,
) -> None:
    """Registers a dataset whose categories are known beforehand, in the place of its namesake."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        catalog.pop(name, None)
    places = {key: str(path) for key, path in places.items()}
    metadata = PanopticMetadata(
        name=name,
        evaluator_type=evaluator_type,
        ignore_label=255,
        label_divisor=1000,
        image_root=places["images"],
        panoptic_json=places["json"],
        panoptic_root=places["pngs"],
        published=True,
        **truth,
    )
    metadata.describe(categories)
    MetadataCatalog[name] = metadata
    DatasetCatalog.register(name, partial(load, name, **places, published=categories))


def load_cityscapes(
    name: str, images: str, json: str, pngs: str, published: Categories | None = None
) -> list[dict]:
    """Reads the records of Cityscapes, whose JSON leaves out the folders of the cities."""
    records = load_panoptic(name, images, json, pngs, published)
    return [_with_city(record, images) for record in records]


def _with_city(record: dict, images: str) -> dict:
    image_id = record["image_id"]
    city = image_id.split("_")[0]
    return {**record, "file_name": str(Path(images, city, f"{image_id}_leftImg8bit.png"))}


register_benchmarks()
