"""Predicts images without ground truth: panoptic PNGs with their JSON, and painted overlays.

    python tools/predict.py --weights output/mine/model_final.pth IMAGE_OR_FOLDER …

A checkpoint of ours is enough; one of others needs its config (`--config-file`), and one whose
model is to be changed, KEY VALUE pairs after `--opts`.
Folders are searched with their subfolders. Written are `predictions.json` and `predictions/*.png`,
as the official panopticapi wants them, and `overlays/*.png`. An image that cannot be read is named,
counted and left out, and the exit status is 1. The classes are those that the checkpoint names, or
else those of the config's dataset; `--categories` reads them from any JSON with "categories", which
may give others ids but no other names.

Images that were predicted before by the same weights are left alone, so that a killed run goes on.
Several processes share the images: by themselves under torchrun, srun or in SLURM arrays, elsewhere
with `--share`; they fill one folder, and the last one completes `predictions.json`.
"""

import argparse
import hashlib
import os
import signal
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.data.format.categories import Categories, align, read_categories
from kmax_deeplab.data.format.pngs import png_folder, write_ids
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.predict.images import name_images
from kmax_deeplab.predict.journal import Journal, forget
from kmax_deeplab.predict.predictor import PredictedImage, Predictor
from kmax_deeplab.predict.shares import find_share, read_share
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
    parser.add_argument("--share", help="2/8: only the second of eight shares of the images")
    parser.add_argument("--restart", action="store_true", help="predict all images anew")
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders of images")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(arguments)


def open_predictor(args: argparse.Namespace) -> tuple[Predictor, Categories]:
    """Returns what predicts, and the categories to write.

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
        return Predictor(open_model(run.cfg, run.categories)), run.categories
    predict = Predictor(args.weights)
    return predict, align(given, predict.categories, whole=True) if given else predict.categories


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


def require_apart(named: dict[str, Path], output: Path) -> None:
    """Refuses to write where images are read from.

    Raises:
        ValueError: an image lies in the output folder.
    """
    for path in named.values():
        if path.resolve().is_relative_to(output.resolve()):
            raise ValueError(f"{path} lies in the folder of the results: choose another --output")


def write(output: Path, name: str, predicted: PredictedImage, categories: Categories) -> dict:
    """Writes the PNG and the overlay of an image; returns its entry of predictions.json."""
    png = f"{name}.png"
    write_ids(png_folder(output / "predictions.json") / png, predicted.panoptic)
    picture = draw_panoptic(
        predicted.image, predicted.panoptic, predicted.segments_info, categories
    )
    write_png(output / "overlays" / png, picture)
    segments = [
        {"id": segment["id"], "category_id": categories.ids[segment["category_id"]]}
        for segment in predicted.segments_info
    ]
    return {"image_id": name, "file_name": png, "segments_info": segments}


def predict_all(predict: Predictor, named: dict[str, Path], journal: Journal) -> int:
    """Predicts images one after the other and writes what is found; returns how many it cannot."""
    failed, progress = 0, tqdm(named.items(), unit="image")
    try:
        for name, path in progress:
            try:
                predicted = predict(path)
            except UnreadableImageError as error:
                failed += 1
                progress.write(f"{path} cannot be read ({error.strerror})", file=sys.stderr)
            else:
                entry = write(journal.path.parent, name, predicted, journal.categories)
                journal.add(name, entry)
    finally:
        journal.join()
    return failed


def settings_of(args: argparse.Namespace) -> dict[str, str]:
    """Returns what predictions depend on, as text."""
    files = {"weights": args.weights, "config": args.config_file, "categories": args.categories}
    return {
        **{name: digest(path) for name, path in files.items() if path},
        "options": " ".join(args.opts),
    }


def digest(path: str | Path) -> str:
    """Returns a text that another content of a file would change; an address stays as it is."""
    if not Path(path).is_file():
        return str(path)
    content = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()


def warn_of_used_up_queries(entries: list[dict], num_queries: int) -> None:
    """Says how many images have nearly as many segments as the model has queries, if any have."""
    counts = [len(entry["segments_info"]) for entry in entries]
    if crowded := [count for count in counts if count >= USED_UP * num_queries]:
        print(
            f"{len(crowded)} of {len(counts)} images have nearly as many segments (up to "
            f"{max(crowded)}) as the model has queries, {num_queries}: it may have missed others.",
            file=sys.stderr,
        )


def run(args: argparse.Namespace) -> int:
    """Predicts this process's share of the images; returns how many could not be read."""
    share = read_share(args.share) if args.share else find_share(os.environ)
    named = name_images(args.images)
    require_apart(named, args.output)
    if torch.cuda.is_available():
        torch.cuda.set_device(share.local % torch.cuda.device_count())
    predict, categories = open_predictor(args)
    if args.restart:
        forget(args.output)
    journal = Journal(args.output, list(named), categories, settings_of(args))
    own = share.of(list(named))
    left = {name: named[name] for name in own if not journal.knows(name, named[name])}
    if len(left) < len(own):
        print(f"{len(own) - len(left)} of {len(own)} images are predicted already.", flush=True)
    failed = predict_all(predict, left, journal)
    print(
        f"{journal.path}: {journal.join()} of {len(named)} images; pictures in "
        f"{args.output / 'overlays'}"
    )
    num_queries = predict.model.sem_seg_head.predictor.cluster_centers.embedding_dim
    warn_of_used_up_queries(list(journal.entries.values()), num_queries)
    if failed:
        print(f"{failed} of {len(left)} images could not be read.", file=sys.stderr)
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if an image could not be read."""
    args = parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command.run(lambda: int(run(args) > 0))


if __name__ == "__main__":
    main()
