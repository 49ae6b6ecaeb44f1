"""Evaluates a trained model and writes a page with scores, loss curves and pictures.

    python tools/report.py --weights output/mine/model_final.pth

The page, one HTML file without links to others, shows images of the test dataset with their ground
truth, the prediction and every k-means layer. The curves come from metrics.json beside the weights.
"""

import argparse
from pathlib import Path

from kmax_deeplab import command
from kmax_deeplab.d2.engine.opening import Run, open_model, open_run
from kmax_deeplab.d2.engine.showcase import make_report
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.visualize.report import write_report
from kmax_deeplab.visualize.scores import format_scores


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", help="default: the config that made the weights")
    parser.add_argument("--weights", help="checkpoint; default: MODEL.WEIGHTS of the config")
    parser.add_argument("--dataset", help="which of DATASETS.TEST, if there are several")
    parser.add_argument("--images", type=int, default=12, help="images to show")
    parser.add_argument("--title", default="A k-means mask transformer")
    parser.add_argument("--output", type=Path, help="default: report.html beside the weights")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(arguments)


def open_report(args: argparse.Namespace) -> Run:
    """Returns the run, with one test dataset.

    Raises:
        ValueError: it is not clear which dataset or which weights.
    """
    run = open_run(args.config_file, args.opts, weights=args.weights or "")
    for sentence in run.sentences:
        print(sentence)
    tested = run.cfg.DATASETS.TEST
    datasets = (args.dataset,) if args.dataset else tested
    if len(datasets) != 1 or datasets[0] not in tested:
        raise ValueError(f"name one of DATASETS.TEST {list(tested)} with --dataset")
    run.cfg.DATASETS.TEST = datasets
    return run


def run(args: argparse.Namespace) -> Path:
    """Evaluates, prints the scores and writes the page; returns its path."""
    opened = open_report(args)
    cfg, weights = opened.cfg, Path(opened.cfg.MODEL.WEIGHTS)
    model = open_model(cfg, opened.categories)
    content = make_report(
        cfg,
        model,
        Trainer.test(cfg, model),
        title=args.title,
        summary=f"{weights}, evaluated on {cfg.DATASETS.TEST[0]}.",
        settings={
            "config": args.config_file or "of the checkpoint",
            "overrides": " ".join(args.opts) or "none",
        },
        metrics=weights.with_name("metrics.json"),
        count=args.images,
    )
    print(format_scores(content.scores))
    path = args.output or weights.with_name("report.html")
    write_report(path, content)
    return path


def main(arguments: list[str] | None = None) -> None:
    """Writes the page."""
    args = parse_args(arguments)
    command.run(lambda: print(f"Open {run(args)} in a browser."))


if __name__ == "__main__":
    main()
