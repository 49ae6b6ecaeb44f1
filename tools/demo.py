"""From nothing to a report: generates shapes, trains on them, evaluates and draws what was learned.

    python tools/demo.py                           # or: make demo
    python tools/demo.py SOLVER.MAX_ITER 400       # other settings need --restart or --output
    python tools/demo.py --restart                 # start over

Everything lies in one folder: data/, training/ (Detectron2's output directory), log.txt and
report.html. Running it again continues an unfinished training, and evaluates and reports anew where
training is done. A folder belongs to one run: other settings are refused.
"""

import argparse
import logging
import subprocess
import sys
from pathlib import Path

from torch import nn

from kmax_deeplab import command, run_stamp
from kmax_deeplab.d2.config.run import CfgNode
from kmax_deeplab.d2.engine.opening import NO_DATA, TRAIN, Run, fit, open_model, open_run
from kmax_deeplab.d2.engine.progress import ProgressLine
from kmax_deeplab.d2.engine.run_log import log_to_file
from kmax_deeplab.d2.engine.setup import train
from kmax_deeplab.d2.engine.showcase import make_report, predictions_of
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.visualize.report.page import write_report
from kmax_deeplab.visualize.report.scores import format_scores

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "datasets" / "generate_shapes.py"
CONFIG = ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml"
WRITTEN = ("data", "data.partial", "training", "log.txt", "report.html")
"""What the demo writes into its folder, and what --restart removes."""
REMEDY = "Add --restart to start over in this folder, or choose another with --output."
EXAMPLES = 12
"""Images shown in the report."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo"))
    parser.add_argument("--config-file", default=str(CONFIG))
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--val-images", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0, help="of the dataset")
    parser.add_argument("--restart", action="store_true", help="forget the run in the folder")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(arguments)


def read_config(args: argparse.Namespace) -> tuple[CfgNode, dict[str, str]]:
    """Returns the config with its paths inside the folder, and all settings that make a run."""
    cfg = open_run(args.config_file, args.opts, purpose=NO_DATA).cfg
    data = {f"data.{name}": str(value) for name, value in data_options(args, cfg).items()}
    settings = data | run_stamp.flatten(cfg)
    del settings["OUTPUT_DIR"]
    cfg.OUTPUT_DIR, cfg.TEST.SAVE_PREDICTIONS = str(args.output / "training"), True
    cfg.DATASETS.PANOPTIC = [
        panoptic_entry((args.output / "data" / split).absolute(), names[0])
        for split, names in (("train", cfg.DATASETS.TRAIN), ("val", cfg.DATASETS.TEST))
    ]
    return cfg, settings


def data_options(args: argparse.Namespace, cfg: CfgNode) -> dict[str, int]:
    """Returns the options of the generator; images are as large as the network's input."""
    size = cfg.INPUT.IMAGE_SIZE[0]
    return {"train": args.train_images, "val": args.val_images, "seed": args.seed, "size": size}


def panoptic_entry(folder: Path, name: str) -> dict[str, str]:
    """Describes one split of the generated dataset for DATASETS.PANOPTIC."""
    return {
        "name": name,
        "images": str(folder / "images"),
        "json": str(folder / "panoptic.json"),
        "pngs": str(folder / "panoptic"),
    }


def generate(options: dict[str, int], folder: Path) -> None:
    """Generates the dataset unless it is there."""
    command = [sys.executable, str(GENERATOR), "--output", str(folder)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    subprocess.run(command, check=True)


def learn(run: Run) -> tuple[nn.Module, dict]:
    """Trains from the last checkpoint on; returns the model and its results on unseen images.

    Raises:
        SystemExit: it was stopped.
    """
    trainer, results = train(run, Trainer, resume=True, hooks=[ProgressLine(sys.stdout)])
    if results is None:
        raise SystemExit(f"\n{trainer.stopped}: stopped and saved; the same command goes on.")
    return trainer.model, results


def evaluate(run: Run, weights: Path) -> tuple[nn.Module, dict]:
    """Loads the trained model; returns it and its results on unseen images."""
    model = open_model(run.cfg, run.categories, weights)
    return model, Trainer.test(run.cfg, model)


def describe(args: argparse.Namespace, cfg: CfgNode) -> dict[str, str]:
    """Lists the settings of the demo that a reader of the report wants to know."""
    size = " × ".join(map(str, cfg.INPUT.IMAGE_SIZE))
    return {
        "config": Path(args.config_file).name,
        "overrides": " ".join(args.opts) or "none",
        "images": f"{args.train_images} to train, {args.val_images} to evaluate, {size} pixels",
    }


def report(args: argparse.Namespace, cfg: CfgNode, model: nn.Module, results: dict) -> None:
    """Prints the PQ table and writes the page."""
    content = make_report(
        cfg,
        model,
        results,
        title="A k-means mask transformer on shapes",
        summary=f"Trained from scratch on {args.train_images} generated images, evaluated on "
        f"{args.val_images} others.",
        settings=describe(args, cfg),
        folder=Path(cfg.OUTPUT_DIR),
        count=EXAMPLES,
        compared=[predictions_of(cfg, "the demo")],
    )
    print(format_scores(content.scores))
    write_report(args.output / "report.html", content)


def run(args: argparse.Namespace) -> None:
    """Goes through the steps, telling which."""
    cfg, settings = read_config(args)
    if args.restart:
        run_stamp.restart(args.output, settings, WRITTEN, REMEDY)
    else:
        run_stamp.claim(args.output, settings, REMEDY)
    print(f"1/4 Dataset ({args.train_images} + {args.val_images} images)", flush=True)
    generate(data_options(args, cfg), args.output / "data")
    log_to_file(args.output / "log.txt")
    opened = fit(cfg, TRAIN)
    for decision in opened.sentences:
        logging.getLogger("kmax_deeplab").info(decision)
    cfg.freeze()
    weights = Path(cfg.OUTPUT_DIR, "model_final.pth")
    if weights.is_file():
        print(f"2/4 Training is done: {weights}\n3/4 Evaluation", flush=True)
        model, results = evaluate(opened, weights)
    else:
        print(f"2/4 Training, then 3/4 evaluation (details: {args.output / 'log.txt'})", flush=True)
        model, results = learn(opened)
    print("4/4 Report", flush=True)
    report(args, cfg, model, results)
    print(f"Open {args.output / 'report.html'} in a browser.")


def main(arguments: list[str] | None = None) -> None:
    """Runs the demo; the same command continues from the last checkpoint of an interrupted one."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
