"""Writes a page for finding faults: scores, errors by class and size, the worst images, curves.

    python tools/report.py --weights output/mine
    python tools/report.py --weights output/mine --compare output/other
    python tools/report.py --predictions FOLDER --truth panoptic.json --images IMAGES

The page is one HTML file without links to others. With weights, a checkpoint or the folder of a
run, it evaluates them on the test dataset, and shows every k-means layer of some images and the
curves of metrics.json beside the weights. With predictions in COCO's panoptic format (a JSON and
its PNGs, made by any model) nothing is computed but their faults, and no checkpoint, config or
Detectron2 is needed. `--compare` sets another run, or another folder of predictions, beside them:
what got better and what worse, by class and by image.
"""

import argparse
from pathlib import Path

from kmax_deeplab import command
from kmax_deeplab.metrics.folders import Labelled
from kmax_deeplab.visualize.report.page import Report, write_report
from kmax_deeplab.visualize.report.predictions import report_predictions
from kmax_deeplab.visualize.report.scores import format_scores


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", help="default: the config that made the weights")
    parser.add_argument("--weights", help="checkpoint or folder of a run; default: MODEL.WEIGHTS")
    parser.add_argument("--dataset", help="which of DATASETS.TEST, if there are several")
    parser.add_argument("--predictions", type=Path, help="folder or JSON, instead of weights")
    parser.add_argument("--truth", type=Path, help="the dataset's JSON, with --predictions")
    parser.add_argument("--truth-pngs", type=Path, help="default: the folder named like --truth")
    parser.add_argument(
        "--images",
        metavar="COUNT_OR_FOLDER",
        default="12",
        help="images to show with every layer; with --predictions, the folder of the images",
    )
    parser.add_argument("--compare", type=Path, help="another run, checkpoint or predictions")
    parser.add_argument("--title", default="A k-means mask transformer", help="of the page")
    parser.add_argument("--output", type=Path, help="default: report.html beside what is reported")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(arguments)


def about_predictions(args: argparse.Namespace) -> tuple[Report, Path]:
    """Returns the page about predictions on disk, and where it is to lie.

    Raises:
        FileNotFoundError, ValueError: files are missing, or contradict each other.
    """
    if args.truth is None:
        raise ValueError("--predictions needs --truth, the dataset's JSON in COCO's format")
    images = None if args.images.isdecimal() else Path(args.images)
    truth = Labelled(args.truth, args.truth_pngs, images)
    report = report_predictions(truth, args.predictions, args.compare, args.title)
    folder = args.predictions if args.predictions.is_dir() else args.predictions.parent
    return report, folder / "report.html"


def about_weights(args: argparse.Namespace) -> tuple[Report, Path]:
    """Evaluates, and returns the page about weights, and where it is to lie.

    Raises:
        FileNotFoundError, ValueError: weights or data are missing, or do not fit.
    """
    from kmax_deeplab.d2.engine.showcase import evaluate_and_show

    if not args.images.isdecimal():
        raise ValueError(f"--images {args.images}: with weights it is a number of images")
    content = evaluate_and_show(
        args.config_file,
        args.opts,
        args.weights or "",
        dataset=args.dataset,
        title=args.title,
        count=int(args.images),
        other=str(args.compare or ""),
    )
    return content.report, content.beside


def run(args: argparse.Namespace) -> Path:
    """Prints the scores and writes the page; returns its path."""
    content, path = (about_predictions if args.predictions else about_weights)(args)
    print(format_scores(content.scores))
    path = args.output or path
    write_report(path, content)
    return path


def main(arguments: list[str] | None = None) -> None:
    """Writes the page."""
    args = parse_args(arguments)
    command.run(lambda: print(f"Open {run(args)} in a browser."))


if __name__ == "__main__":
    main()
