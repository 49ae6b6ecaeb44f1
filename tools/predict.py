"""Predicts images without ground truth: panoptic PNGs with their JSON, and painted overlays.

    python tools/predict.py --weights output/mine/model_final.pth IMAGE_OR_FOLDER …

A checkpoint of ours is enough; one of others needs its config (`--config-file`), and one whose
model is to be changed, KEY VALUE pairs after `--opts`.
Folders are searched with their subfolders. Written are `predictions.json` and `predictions/*.png`,
as the official panopticapi wants them, and `overlays/*.png`. An image that cannot be read is named,
counted and left out, and the exit status is 1. The classes are those that the checkpoint names, or
else those of the config's dataset; `--categories` reads them from any JSON with "categories", which
may give others ids but no other names.

Images that this model has predicted already are skipped, unless their files are newer: what was
killed is started again. Processes of torchrun, srun or a SLURM array share the images, or those
started with `--share 2/8`; `predictions.json` has those of all. Under torchrun, which ends all with
the first process that fails, the exit status is 0 even if images cannot be read.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.data.format.categories import Categories, align, read_categories
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.predict.images import name_images, require_apart
from kmax_deeplab.predict.origin import image_of, origin_of
from kmax_deeplab.predict.predictor import PredictedImage, Predictor
from kmax_deeplab.predict.results import OVERLAYS, Results
from kmax_deeplab.predict.shares import Share, find_share, take_gpu
from kmax_deeplab.visualize.overlays import draw_panoptic
from kmax_deeplab.whole_files import write_png

USED_UP = 0.8
"""Share of the queries with a segment from which on an image may hold more than were found."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", help="default: what the checkpoint says")
    parser.add_argument("--weights", help="checkpoint; default: MODEL.WEIGHTS of the config")
    parser.add_argument("--categories", type=Path, help="JSON or table with the classes")
    parser.add_argument("--output", type=Path, default=Path("output/predictions"))
    parser.add_argument("--share", metavar="I/N", help="of the images; default: the launcher's")
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders of images")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(arguments)


def open_predictor(args: argparse.Namespace) -> tuple[Predictor, Categories, str]:
    """Returns what predicts, the categories to write, and where the weights are from.

    Raises:
        FileNotFoundError, ValueError: config, weights or classes are missing or do not fit.
    """
    given = read_categories(args.categories) if args.categories else None
    if not args.weights and not args.config_file:
        raise ValueError("name a checkpoint (--weights), or a config that does (--config-file)")
    if args.config_file or args.opts or not is_described(args.weights):
        # Only a config needs Detectron2.
        from kmax_deeplab.d2.engine.opening import PREDICT, open_model, open_run

        words = {"weights": args.weights or "", "purpose": PREDICT, "given": given}
        run = open_run(args.config_file, args.opts, **words)
        predict = Predictor(open_model(run.cfg, run.categories))
        return predict, run.categories, run.cfg.MODEL.WEIGHTS
    predict = Predictor(args.weights)
    own = predict.categories
    return predict, align(given, own, whole=True) if given else own, args.weights


def is_described(weights: str) -> bool:
    """Returns whether a checkpoint says how its model is built; an address has no such say.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if "://" in weights:
        return False
    if not Path(weights).is_file():
        raise FileNotFoundError(f"checkpoint {weights!r} does not exist")
    return read_identity(weights).description is not None


def write(output: Path, name: str, image: list[int], found: PredictedImage, to: Results) -> None:
    """Writes the overlay of an image, then the PNG, with which it counts as predicted."""
    picture = draw_panoptic(found.image, found.panoptic, found.segments_info, to.categories)
    write_png(output / OVERLAYS / f"{name}.png", picture)
    to.add(name, image, found.panoptic, found.segments_info)


def predict_all(predict: Predictor, ahead: dict[str, Path], to: Results, *, alone: bool) -> int:
    """Predicts images one after the other and writes what is found; returns how many it cannot."""
    failed, progress = 0, tqdm(ahead.items(), unit="image")
    try:
        for name, path in progress:
            image = image_of(path)
            try:
                predicted = predict(path)
            except UnreadableImageError as error:
                failed += 1
                progress.write(f"{path} cannot be read ({error.strerror})", file=sys.stderr)
                continue
            write(to.output, name, image, predicted, to)
            if alone:
                to.keep_up()
    finally:
        to.gather()
    return failed


def warn_of_used_up_queries(entries: list[dict], num_queries: int) -> None:
    """Says how many images have nearly as many segments as the model has queries, if any have."""
    counts = [len(entry["segments_info"]) for entry in entries]
    if crowded := [count for count in counts if count >= USED_UP * num_queries]:
        print(
            f"{len(crowded)} of {len(counts)} images have nearly as many segments (up to "
            f"{max(crowded)}) as the model has queries, {num_queries}: it may have missed others.",
            file=sys.stderr,
        )


def tell_work(share: Share, results: Results, mine: int, ahead: int) -> None:
    """Says how many images are not predicted now: those of other shares, and what is done."""
    if share.count > 1:
        print(f"Share {share.number} of {share.count}: {mine} of {len(results.named)} images.")
    if mine > ahead:
        print(f"{mine - ahead} of {mine} images are predicted already, by this model: skipped.")


def run(args: argparse.Namespace) -> int:
    """Predicts the images that are this process's; returns how many could not be read."""
    share = find_share(args.share, os.environ)
    take_gpu(os.environ)
    named = name_images(args.images)
    require_apart(named, args.output)
    predict, categories, weights = open_predictor(args)
    origin = origin_of(predict.model, weights, categories)
    results = Results(args.output, named, origin, categories)
    mine = share.of(named)
    ahead = results.begin(mine)
    tell_work(share, results, len(mine), len(ahead))
    failed = predict_all(predict, ahead, results, alone=share.count == 1)
    print(results.summary())
    num_queries = predict.model.sem_seg_head.predictor.cluster_centers.embedding_dim
    known = results.entries
    warn_of_used_up_queries([known[name] for name in mine if name in known], num_queries)
    if failed:
        print(f"{failed} of {len(mine)} images could not be read.", file=sys.stderr)
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if an image could not be read."""
    args = parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command.run(lambda: int(run(args) > 0 and "TORCHELASTIC_RUN_ID" not in os.environ))


if __name__ == "__main__":
    main()
