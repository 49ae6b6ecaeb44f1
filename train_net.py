"""Trains and evaluates: the table of contents of a run, with Detectron2's command line.

    python train_net.py --config-file CONFIG.yaml [--resume | --restart] [KEY VALUE …]
    python train_net.py --config-file CONFIG.yaml --eval-only MODEL.WEIGHTS output/model_final.pth

A folder (OUTPUT_DIR) that holds a run is continued with --resume or set aside with --restart, never
overwritten. Without a GPU, `--num-gpus` counts CPU processes.
"""

import argparse
from pathlib import Path
from typing import Any

from kmax_deeplab import command
from kmax_deeplab.d2.engine.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.engine.launch import build_parser, comm, launch
from kmax_deeplab.d2.engine.trainer import Trainer, setup, train
from kmax_deeplab.d2.evaluation.build import verify
from kmax_deeplab.run_folder import find_start

CONFIGS = Path(__file__).parent / "configs"


def evaluate(cfg, resume: bool) -> dict[str, Any]:
    """Evaluates `MODEL.WEIGHTS`, or with `--resume` the last checkpoint of `OUTPUT_DIR`.

    Raises:
        ValueError: no checkpoint is named, or it leaves parameters of the model untouched.
    """
    weights = str(find_start(Path(cfg.OUTPUT_DIR))[0] or "") if resume else cfg.MODEL.WEIGHTS
    if not weights:
        raise ValueError("--eval-only needs a checkpoint: add MODEL.WEIGHTS path/to/model.pth")
    model = Trainer.build_model(cfg)
    KMaXCheckpointer(model, cfg.OUTPUT_DIR).load_complete(weights)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify(cfg, results)
    return results


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Runs in every process; returns the evaluation results (empty but in the main process)."""
    cfg = setup(args)
    if args.eval_only:
        return evaluate(cfg, args.resume)
    _, results = train(cfg, Trainer, resume=args.resume)
    return results


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; a run without a config is refused with the list of configs."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.resume and args.restart:
        parser.error("--resume goes on with a run and --restart begins anew: choose one")
    if not args.config_file:
        leaves = (path for path in CONFIGS.rglob("*.yaml") if "_base_" not in path.parts)
        names = "\n  ".join(str(path.relative_to(CONFIGS.parent)) for path in sorted(leaves))
        parser.error(f"--config-file is required. There are\n  {names}")
    return args


if __name__ == "__main__":
    options = parse_args()
    command.run(lambda: launch(main, options))
