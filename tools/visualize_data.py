r"""Shows a dataset as it is annotated, or as the network is fed with it in training.

    python tools/visualize_data.py --config-file configs/custom/kmax_trial_on_cpu.yaml \
        --source dataloader --count 16 --output output/data \
        --opts DATASETS.PANOPTIC "[{'name': …}]"

`annotation` draws images of the training sets (or with `--split test` of the test sets), evenly
spread, with their labels. `dataloader` draws the first samples of a training with the config's
SEED: scaled, cropped, flipped, with segments of others pasted on, colours changed; the targets are
those that the losses see. Pictures go to the output folder, and all of them to `sheet.png` there.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.d2.config.run import CfgNode
from kmax_deeplab.d2.data.mapper import build_train_mapper
from kmax_deeplab.d2.data.sources import records_of
from kmax_deeplab.d2.data.stream import TrainingStream
from kmax_deeplab.d2.engine.opening import EVALUATE, TRAIN, Run, open_run
from kmax_deeplab.d2.engine.pictures import read_truth
from kmax_deeplab.data.samples.reading import read_labelled
from kmax_deeplab.visualize.contact_sheet import contact_sheet
from kmax_deeplab.visualize.fed import describe_sample, draw_sample
from kmax_deeplab.visualize.overlays import draw_panoptic
from kmax_deeplab.whole_files import write_png

Pictures = Iterator[tuple[str, np.ndarray]]
"""Captions and (H, W, 3) uint8 RGB."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--source", choices=["annotation", "dataloader"], default="annotation")
    parser.add_argument("--split", choices=["train", "test"], default="train")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("output/data"))
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(arguments)


def draw_annotations(run: Run, names: tuple[str, ...], count: int) -> Pictures:
    """Draws images as they are labelled, evenly spread over datasets."""
    records = records_of(names)
    count = min(count, len(records))
    for record in (records[i * len(records) // count] for i in range(count)):
        truth = read_truth(record)
        image = read_labelled(record).image
        picture = draw_panoptic(image, truth.panoptic, truth.segments_info, run.categories)
        yield f"{record['image_id']}: {len(truth.segments_info)} segments", picture


def draw_samples(run: Run, cfg: CfgNode, count: int) -> Pictures:
    """Draws the first samples of a training."""
    records = records_of(cfg.DATASETS.TRAIN)
    stream = TrainingStream(records, build_train_mapper(cfg, records), max(cfg.SEED, 0))
    for position in range(count):
        sample = stream[position]
        yield f"{position}. {describe_sample(sample)}", draw_sample(sample, run.categories)


def run(args: argparse.Namespace) -> None:
    """Draws all pictures.

    Raises:
        ValueError: there is nothing to draw.
    """
    if args.count < 1:
        raise ValueError(f"--count {args.count}: at least one picture is needed")
    if args.source == "dataloader" and args.split == "test":
        raise ValueError("--source dataloader shows what a training is fed: --split test has none")
    is_training = args.split == "train"
    opened = open_run(args.config_file, args.opts, purpose=TRAIN if is_training else EVALUATE)
    cfg = opened.cfg
    names = cfg.DATASETS.TRAIN if is_training else cfg.DATASETS.TEST
    if not names:
        raise ValueError(f"DATASETS.{args.split.upper()} is empty: there is nothing to draw")
    if args.source == "annotation":
        drawn = draw_annotations(opened, names, args.count)
    else:
        drawn = draw_samples(opened, cfg, args.count)
    pictures = []
    for number, (caption, picture) in enumerate(tqdm(drawn, total=args.count, unit="image")):
        write_png(args.output / f"{args.source}_{number:03d}.png", picture)
        pictures.append((caption, picture))
    write_png(args.output / "sheet.png", contact_sheet(pictures))
    print(f"{args.output / 'sheet.png'}: {len(pictures)} pictures, each also beside it")


def main(arguments: list[str] | None = None) -> None:
    """Draws."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
