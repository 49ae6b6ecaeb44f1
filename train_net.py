"""Trains and evaluates: the table of contents of a run, with Detectron2's command line.

    python train_net.py --config-file CONFIG.yaml [--resume | --restart] [KEY VALUE …]
    python train_net.py --eval-only MODEL.WEIGHTS output/model_final.pth

A checkpoint of ours holds the config that made it, so that evaluating it needs no other.
A folder (OUTPUT_DIR) that holds a run is continued with --resume or set aside with --restart, never
overwritten. Without a GPU, `--num-gpus` counts CPU processes; torchrun and SLURM start their own.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from kmax_deeplab import command
from kmax_deeplab.d2.engine.eval_only import evaluate_on
from kmax_deeplab.d2.engine.launch import build_parser, comm, launch, parse
from kmax_deeplab.d2.engine.opening import Run, open_model
from kmax_deeplab.d2.engine.preview import preview
from kmax_deeplab.d2.engine.progress import ProgressLine
from kmax_deeplab.d2.engine.setup import find_weights, read, setup, train
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.d2.evaluation.build import verify
from kmax_deeplab.d2.ranks.group import from_main, joined
from kmax_deeplab.run_folder import find_start

CONFIGS = Path(__file__).parent / "configs"


def evaluate(run: Run, resume: bool) -> dict[str, Any]:
    """Evaluates `MODEL.WEIGHTS`, or with `--resume` the last checkpoint of `OUTPUT_DIR`.

    One that was killed is gone on with.

    Raises:
        ValueError: no checkpoint is named, or it leaves parameters of the model untouched.
    """
    cfg = run.cfg
    weights = from_main(find_start, Path(cfg.OUTPUT_DIR))[0] if resume else cfg.MODEL.WEIGHTS
    if not weights:
        raise ValueError("--eval-only needs a checkpoint: add MODEL.WEIGHTS path/to/model.pth")
    model = open_model(cfg, run.categories, weights, many_images=True)
    results = evaluate_on(cfg, model, Path(weights))
    if comm.is_main_process() and results:
        verify(cfg, results)
    return results


def show(run: Run) -> dict[str, Any]:
    """Prints what the training would be; nothing is written."""
    if comm.is_main_process():
        print(*run.sentences, preview(run.cfg, comm.get_world_size()), sep="\n\n")
    return {}


def main(args: argparse.Namespace) -> dict[str, Any] | None:
    """Runs in every process, whoever started it; needs nothing else.

    Returns:
        The results of the last evaluation, empty but in the main process; None if the training was
        stopped before.
    """
    cfg = read(args)
    with joined(cfg):
        run = setup(args, cfg)
        if args.dry_run:
            return show(run)
        if args.eval_only:
            return evaluate(run, args.resume)
        shown = comm.is_main_process() and sys.stderr.isatty()
        hooks = [ProgressLine(sys.stderr)] if shown else []
        _, results = train(run, Trainer, resume=args.resume, hooks=hooks)
        return results


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; a run without a config is refused with the list of configs."""
    parser = build_parser()
    args = parse(parser, sys.argv[1:] if arguments is None else arguments)
    if args.fast_dev_run and (args.resume or args.restart or args.eval_only):
        parser.error("--fast-dev-run begins anew each time, and trains: leave the others out")
    if args.dry_run and (args.fast_dev_run or args.eval_only):
        parser.error("--dry-run runs nothing: leave out --fast-dev-run and --eval-only")
    if args.resume and args.restart:
        parser.error("--resume goes on with a run and --restart begins anew: choose one")
    if not args.config_file and not (args.eval_only and find_weights(args)):
        leaves = (path for path in CONFIGS.rglob("*.yaml") if "_base_" not in path.parts)
        names = "\n  ".join(str(path.relative_to(CONFIGS.parent)) for path in sorted(leaves))
        parser.error(f"--config-file is required. There are\n  {names}")
    return args


if __name__ == "__main__":
    options = parse_args()
    command.run(lambda: launch(main, options))
