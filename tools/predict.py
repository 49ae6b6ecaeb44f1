"""Predicts images or a video without ground truth: panoptic PNGs with their JSON, and pictures.

    python tools/predict.py --weights output/mine/model_final.pth --input photos 'more/**/*.jpg'
    python tools/predict.py --weights output/mine/model_final.pth --video-input street.mp4

A checkpoint of ours is enough; one of others needs its config (`--config-file`), and one whose
model is to be changed, KEY VALUE pairs after `--opts`. Without either it is the model in the box.
Folders are searched with their subfolders. Written are `predictions.json` and `predictions/*.png`,
as the official panopticapi wants them, and what `--save` names. An image that cannot be read is
named, counted and left out, and the exit status is 1. The classes are those that the checkpoint
names, or else those of the config's dataset; `--categories` reads them from any JSON with
"categories", which may give others ids but no other names.

Images that this model has predicted already are skipped, unless their files are newer: what was
killed is started again. Processes of torchrun, srun or a SLURM array share the images, or those
started with `--share 2/8`; `predictions.json` has those of all. Under torchrun, which ends all with
the first process that fails, the exit status is 0 even if images cannot be read.

A video comes out painted, with as many frames, of the same size and rate, without sound.
"""

import argparse
import os
import signal
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

from opening import add_model_options, open_predictor
from PIL import Image
from tqdm import tqdm

from kmax_deeplab import command
from kmax_deeplab.predict.folder import predict_folder
from kmax_deeplab.predict.image_ids import read_image_ids
from kmax_deeplab.predict.images import name_images, require_apart
from kmax_deeplab.predict.origin import origin_of
from kmax_deeplab.predict.outputs import KINDS, OVERLAY
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.results import Results
from kmax_deeplab.predict.shares import Share, find_share, take_gpu
from kmax_deeplab.predict.stages import Stages


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    what = parser.add_argument_group("what to look at, one of")
    what.add_argument("images", nargs="*", help="images, folders of them, or patterns")
    what.add_argument("--input", nargs="+", default=[], help="the same")
    what.add_argument("--video-input", type=Path, help="a video")
    what.add_argument("--webcam", nargs="?", type=int, const=0, help="a camera; default: the first")
    how = parser.add_argument_group("how to look at it")
    how.add_argument("--confidence-threshold", type=float, help="least class score of a segment")
    how.add_argument("--tile", type=int, help="side of windows in pixels; 0: whole images")
    how.add_argument("--overlap", type=float, help="least share of a window that the next one sees")
    how.add_argument("--batch", type=int, default=1, help="windows that the network sees at a time")
    how.add_argument("--workers", type=int, default=2, help="threads that read, and that write")
    how.add_argument("--share", metavar="I/N", help="of the images; default: the launcher's")
    how.add_argument("--profile", action="store_true", help="say how long each stage takes")
    out = parser.add_argument_group("what to write")
    out.add_argument("--output", type=Path, default=Path("output/predictions"), help="folder")
    out.add_argument("--save", nargs="*", choices=KINDS, default=[OVERLAY], help="default: overlay")
    out.add_argument("--dataset-json", type=Path, help="whose ids images get")
    out.add_argument("--codec", default="mp4v", help="of the video, four letters")
    out.add_argument("--show", action="store_true", help="frames in a window too; Escape ends it")
    args = parser.parse_args(arguments)
    args.input = [*args.input, *args.images]
    if (bool(args.input), bool(args.video_input), args.webcam is not None).count(True) != 1:
        parser.error("name images (--input), or a video (--video-input), or a camera (--webcam)")
    return args


def adjust(predict: Predictor, args: argparse.Namespace) -> None:
    """Has a predictor look as the command line says.

    Raises:
        ValueError: a value cannot be.
    """
    threshold = args.confidence_threshold
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"--confidence-threshold {threshold}: it is a score from 0 to 1")
        predict.model.merge = replace(predict.model.merge, thing=threshold, stuff=threshold)
    if args.batch < 1 or args.workers < 0:
        raise ValueError(f"--batch {args.batch} --workers {args.workers}: at least 1, and 0")
    predict.batch, predict.workers = args.batch, args.workers
    asked = {"tile": args.tile, "tile_overlap": args.overlap}
    given = {key: value for key, value in asked.items() if value is not None}
    predict.inputs = replace(predict.inputs, **given)
    predict.model.inputs = predict.inputs  # which is part of what results are of


def tell_work(share: Share, results: Results, mine: int, ahead: int) -> None:
    """Says how many images are not predicted now: those of other shares, and what is done."""
    if share.count > 1:
        print(f"Share {share.number} of {share.count}: {mine} of {len(results.named)} images.")
    if mine > ahead:
        print(f"{mine - ahead} of {mine} images are predicted already, by this model: skipped.")


def warn_of_crowded(results: Results, mine: dict[str, Path], num_queries: int) -> None:
    """Says in how many images nearly all queries have a segment, if there are such."""
    found = [results.entries[name].is_crowded for name in mine if name in results.entries]
    if count := sum(found):
        print(
            f"{count} of {len(found)} images have nearly as many segments as the model has "
            f"queries, {num_queries}, or a window of them has: it may have missed others.",
            file=sys.stderr,
        )


def predict_images(args: argparse.Namespace) -> int:
    """Predicts the images that are this process's; returns how many could not be read."""
    share = find_share(args.share, os.environ)
    take_gpu(os.environ)
    named = name_images(args.input)
    require_apart(named, args.output)
    ids = read_image_ids(args.dataset_json, named) if args.dataset_json else {}
    predict, categories, weights = open_predictor(args)
    adjust(predict, args)
    mine = share.of(named)
    origin = origin_of(predict.model, weights, categories)
    kinds = {"kinds": args.save, "ids": ids, "mine": mine}
    results = Results(args.output, named, origin, categories, **kinds)
    ahead = results.begin(mine)
    tell_work(share, results, len(mine), len(ahead))
    if args.profile:
        predict.watch = Stages(args.workers)
    failed, progress = [], tqdm(total=len(ahead), unit="image")

    def skip(path: Path, error: OSError) -> None:
        failed.append(path)
        progress.write(f"{path} cannot be read ({error.strerror})", file=sys.stderr)

    with progress:
        for _ in predict_folder(predict, ahead, results, alone=share.count == 1, skip=skip):
            progress.update()
    print(results.summary())
    if args.profile:
        print(predict.watch.describe(len(ahead) - len(failed)))
    warn_of_crowded(results, mine, predict.num_queries)
    if failed:
        print(f"{len(failed)} of {len(mine)} images could not be read.", file=sys.stderr)
    return len(failed)


def predict_video(args: argparse.Namespace) -> int:
    """Paints the frames of a video or of a camera; returns 0."""
    # Only videos need OpenCV.
    from kmax_deeplab.predict.video import choose_output, open_camera, open_video
    from kmax_deeplab.predict.video_frames import film

    camera, ended = args.webcam is not None, threading.Event()
    output = choose_output(args.output, f"webcam{args.webcam}" if camera else args.video_input)
    with open_camera(args.webcam) if camera else open_video(args.video_input) as video:
        predict, categories, _ = open_predictor(args)
        adjust(predict, args)
        if args.profile:
            predict.watch = Stages(threads=0)
        if camera:  # what was seen until then is kept
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
        words = {"codec": args.codec, "show": args.show, "is_ended": ended.is_set}
        frames = film(predict, video, output, categories, **words)
        count = sum(1 for _ in tqdm(frames, total=video.count, unit="frame"))
    print(f"{output}: {count} frames, {video.fps:g} a second")
    if args.profile:
        print(predict.watch.describe(count))
    return 0


def run(args: argparse.Namespace) -> int:
    """Predicts; returns how many images could not be read."""
    return predict_images(args) if args.input else predict_video(args)


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if an image could not be read."""
    args = parse_args(arguments)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have limits of our own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command.run(lambda: int(run(args) > 0 and "TORCHELASTIC_RUN_ID" not in os.environ))


if __name__ == "__main__":
    main()
