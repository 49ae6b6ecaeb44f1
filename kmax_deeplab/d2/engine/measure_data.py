"""Benchmark of the training data: a config enters, what its samples cost leaves.

Samples are made from the files of the config's training sets; where those are not on this machine,
from synthetic images of COCO's size.
"""

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.benchmark.profiling import Measurement, measure, rooms
from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset
from kmax_deeplab.d2.data import mapper
from kmax_deeplab.d2.data.augmentations import ColorJitter
from kmax_deeplab.d2.data.catalog import register_from_config, register_panoptic
from kmax_deeplab.d2.data.sources import records_of
from kmax_deeplab.d2.data.stream import TrainingStream, build_stream_loader
from kmax_deeplab.data.format.zips import open_file
from kmax_deeplab.data.samples import reading, view

SYNTHETIC_SIZE = (480, 640)
"""(H, W) of synthetic images in pixels, the most common in COCO."""
SYNTHETIC_COUNT = 16
MOST_PACKED = 256
"""Images of a dataset that are packed to compare zips with folders."""
SEED = 0
STAGES = (
    ("read image", view, "decode"),
    ("resize, crop, flip", view.View, "resize"),
    ("colour jitter", ColorJitter, "apply_image"),
    ("read labels", reading, "read_labels"),
    ("read PNG", reading, "read_ids"),
    ("find visible segments", view, "crop_labels"),
    ("copy-paste", mapper, "copy_paste"),
    ("targets", mapper, "make_targets"),
)
"""Name of a stage, and the function that is called there with where it is looked up."""


def measure_data(
    cfg: CfgNode, images: int, runs: int, workers: int = 0, trace: Path | None = None
) -> list[Measurement]:
    """Measures the making of training samples.

    Args:
        cfg: its `DATASETS` and `INPUT` keys are used.
        images: samples per run.
        runs: measured runs.
        workers: loading processes, each on one core, as in a training; 0: this process alone,
            which makes the same samples in each run and says what takes its time.
        trace: where to write a trace of one run.
    """
    with training_records(cfg) as (source, records):
        return [_measure_records(cfg, records, source, images, runs, workers, trace)]


def measure_zips(cfg: CfgNode, images: int, runs: int, workers: int = 0) -> list[Measurement]:
    """Measures the making of training samples from folders and, the same, from zips.

    Args:
        cfg, images, runs, workers: see `measure_data`; of its training sets, at most MOST_PACKED
            images are packed, and used for both.
    """
    with training_records(cfg) as (source, records), tempfile.TemporaryDirectory() as folder:
        places = {"folders": records[:MOST_PACKED]}
        places["zips"] = pack_records(places["folders"], Path(folder))
        return [
            _measure_records(cfg, records, f"{kind} of {source}", images, runs, workers)
            for kind, records in places.items()
        ]


def pack_records(records: Sequence[dict], folder: Path) -> list[dict]:
    """Writes images and PNGs into archives, as they are; returns records that lead there."""
    packed = [dict(record) for record in records]
    for key in ("file_name", "pan_seg_file_name"):
        archive = folder / f"{key}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for number, record in enumerate(packed):
                name = f"{number}{Path(record[key]).suffix}"
                with open_file(record[key]) as content:
                    file.writestr(name, content.read())
                record[key] = str(archive / name)
    return packed


def _measure_records(
    cfg: CfgNode,
    records: list[dict],
    source: str,
    images: int,
    runs: int,
    workers: int,
    trace: Path | None = None,
) -> Measurement:
    watched = {name: (owner, attribute) for name, owner, attribute in STAGES}
    size = " × ".join(map(str, cfg.INPUT.IMAGE_SIZE))
    place = f"by {workers} processes" if workers else "on one core"
    with one_core(), rooms(watched):
        stream = TrainingStream(records, mapper.build_train_mapper(cfg, records), SEED)
        return measure(
            _loaded(stream, images, workers) if workers else _made(stream, images),
            title=f"{images} training samples of {size} from {source}, {place}",
            **{"images": images, "device": torch.device("cpu"), "runs": runs, "trace": trace},
            names=() if workers else tuple(watched),
        )


def _made(stream: TrainingStream, images: int) -> Callable[[], object]:
    def step() -> None:
        for position in range(images):
            stream[position]

    return step


def _loaded(stream: TrainingStream, images: int, workers: int) -> Callable[[], object]:
    """Takes samples out of a loader that goes on from run to run."""
    batches = iter(build_stream_loader(stream, 1, num_workers=workers))
    return lambda: [next(batches) for _ in range(images)]


@contextmanager
def training_records(cfg: CfgNode) -> Iterator[tuple[str, list[dict]]]:
    """Yields a description and the records of the training sets, or of synthetic ones for a while.

    Raises:
        FileNotFoundError: some files of the training sets are there and others are missing.
    """
    register_from_config(cfg)
    names = cfg.DATASETS.TRAIN
    jsons = [MetadataCatalog.get(name).get("panoptic_json") for name in names]
    if any(path and Path(path).is_file() for path in jsons):
        yield " + ".join(names), records_of(names)
        return
    with tempfile.TemporaryDirectory() as folder:
        generator = torch.Generator().manual_seed(SEED)
        places = write_synthetic_dataset(Path(folder), SYNTHETIC_COUNT, SYNTHETIC_SIZE, generator)
        register_panoptic(folder, **places)
        try:
            source = f"synthetic {SYNTHETIC_SIZE[1]} × {SYNTHETIC_SIZE[0]} JPEGs"
            yield source, DatasetCatalog.get(folder)
        finally:
            DatasetCatalog.remove(folder)
            MetadataCatalog.remove(folder)


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps PyTorch and OpenCV to one thread for a while."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
