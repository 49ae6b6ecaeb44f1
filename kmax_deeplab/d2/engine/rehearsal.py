"""A training in small: a config enters and changes so that everything in it happens once, soon.

`train_net.py --fast-dev-run` runs it, with the user's data, or with synthetic data where there is
none, so that it runs on any machine.
"""

import shutil
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.benchmark.synthetic_dataset import CATEGORIES, write_synthetic_dataset
from kmax_deeplab.d2.data.catalog import register_from_config
from kmax_deeplab.d2.ranks.group import from_main

FOLDER = "fast_dev_run"
"""Below OUTPUT_DIR; begins anew each time."""
ITERATIONS, IMAGES = 3, 4
SIZE = (240, 320)
"""(H, W) of synthetic images in pixels."""


def shorten(cfg: CfgNode, world_size: int) -> list[str]:
    """Makes a config train a few iterations, save, evaluate a few images and train on.

    Args:
        cfg: changes; model, augmentation and sizes stay.
        world_size: number of processes, each of which gets an image, or a single one two.

    Returns:
        A sentence for what is otherwise than it will be.
    """
    folder = Path(cfg.OUTPUT_DIR, FOLDER)
    from_main(shutil.rmtree, folder, True)
    cfg.OUTPUT_DIR = str(folder)
    cfg.SOLVER.MAX_ITER = ITERATIONS
    cfg.SOLVER.WARMUP_ITERS = min(cfg.SOLVER.WARMUP_ITERS, 1)
    cfg.SOLVER.STEPS = ()
    cfg.SOLVER.CHECKPOINT_PERIOD = cfg.TEST.EVAL_PERIOD = ITERATIONS - 1
    cfg.SOLVER.IMS_PER_BATCH = max(world_size, 2)
    cfg.SOLVER.ACCUMULATE = min(cfg.SOLVER.ACCUMULATE, 2)
    cfg.TEST.MAX_IMAGES = IMAGES
    cfg.TEST.PRECISE_BN.NUM_ITER = min(cfg.TEST.PRECISE_BN.NUM_ITER, 2)
    cfg.TEST.EXPECTED_RESULTS = []
    sentences = [
        f"--fast-dev-run: {ITERATIONS} iterations of {cfg.SOLVER.IMS_PER_BATCH} images and "
        f"evaluations of {IMAGES}, in {folder}. Nothing here says how good a model will be."
    ]
    if missing := _missing(cfg):
        _invent_data(cfg, folder)
        sentences.append(f"--fast-dev-run: {missing} is missing; the images are synthetic.")
    return sentences


def _missing(cfg: CfgNode) -> str:
    """Returns what of the datasets of a config is not there, or nothing."""
    register_from_config(cfg)
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        if name not in DatasetCatalog:
            return f"the dataset {name}"
        path = MetadataCatalog.get(name).get("panoptic_json")
        if path and not Path(path).is_file():
            return path
    return "" if cfg.DATASETS.TRAIN or cfg.DATASETS.PANOPTIC else "a dataset to train on"


def _invent_data(cfg: CfgNode, folder: Path) -> None:
    """Writes datasets with as many classes as the config has, and makes it use them."""
    count = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES or CATEGORIES
    entries = []
    for seed, split in enumerate(("train", "val")):
        place = (folder / "data" / split).absolute()
        paths = from_main(_write, place, count, seed)
        entries.append({"name": f"{place}", **paths})
    cfg.DATASETS.PANOPTIC = entries
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ((entry["name"],) for entry in entries)


def _write(folder: Path, categories: int, seed: int) -> dict[str, str]:
    generator = torch.Generator().manual_seed(seed)
    return write_synthetic_dataset(folder, IMAGES, SIZE, generator, categories)
