"""The benchmarks under their released names; COCO and Cityscapes panoptic are Detectron2's own."""

import os
from pathlib import Path

from detectron2.data import MetadataCatalog

from kmax_deeplab.d2.datasets import register_panoptic
from kmax_deeplab.data.ade20k import ade20k_categories

ADE20K_SPLITS = {"train": "training", "val": "validation"}


def register_benchmarks() -> None:
    """Registers ADE20K below $DETECTRON2_DATASETS (default: datasets); reads none of its files."""
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
    root /= "ADEChallengeData2016"
    for split, folder in ADE20K_SPLITS.items():
        name = f"ade20k_panoptic_{split}"
        register_panoptic(
            name,
            images=str(root / "images" / folder),
            json=str(root / f"{name}.json"),
            pngs=str(root / name),
        )
        MetadataCatalog.get(name).describe(ade20k_categories())
