"""From the command line to a run that may begin: its config, log, seed and folder.

In: Detectron2's options. Out: an opened run; nothing of an earlier one is changed before it is
clear that this one can begin.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from kmax_deeplab.d2.config.check import tell_surprises, validate_evaluation, validate_training
from kmax_deeplab.d2.engine.opening import EVALUATE, TRAIN, Run, fit, read_config
from kmax_deeplab.d2.engine.rehearsal import shorten
from kmax_deeplab.d2.engine.run_log import log_start, log_to_folder
from kmax_deeplab.d2.engine.trackers import require_packages
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.d2.ranks.group import from_main, tell
from kmax_deeplab.run_folder import find_start, locked, require_vacant, set_aside, sweep
from kmax_deeplab.whole_files import write_text

logger = logging.getLogger(__name__)


def read(args: argparse.Namespace) -> CfgNode:
    """Reads the config that a command line asks for.

    Args:
        args: what `detectron2.engine.default_argument_parser` returns, and `restart`.

    Raises:
        FileNotFoundError, ValueError: a config, key or value that cannot be.
    """
    return read_config(args.config_file, args.opts, find_weights(args))


def setup(args: argparse.Namespace, cfg: CfgNode) -> Run:
    """Opens, checks and logs a run; registers and checks the datasets it names.

    Nothing that lies in the folder of the run is changed. Every rank calls it.

    Args:
        args: as for `read`.
        cfg: what that has read.

    Returns:
        The run, its config frozen.

    Raises:
        FileNotFoundError, ValueError: a config, key, value or dataset that cannot be, or a folder
            that holds another run.
    """
    sentences = []
    if args.fast_dev_run:
        sentences = shorten(cfg, comm.get_world_size())
    folder = Path(cfg.OUTPUT_DIR)
    if not (args.eval_only or args.resume or args.restart):
        from_main(require_vacant, folder)
    run = fit(
        cfg,
        EVALUATE if args.eval_only else TRAIN,
        start=from_main(find_start, folder)[0] if args.resume else None,
        num_processes=comm.get_local_size() if comm.get_world_size() > 1 else 1,
    )
    run.sentences.extend(sentences)
    if args.eval_only:
        validate_evaluation(cfg)
    else:
        validate_training(cfg, comm.get_world_size())
        require_packages(cfg.LOGGERS)
    cfg.freeze()
    if args.dry_run:
        return run
    if args.restart and comm.is_main_process() and (aside := set_aside(folder)):
        run.sentences.append(f"--restart: the earlier run lies in {aside} now.")
    comm.synchronize()
    log_to_folder(cfg.OUTPUT_DIR)
    log_start(cfg, " ".join(sys.argv[1:]))
    for sentence in (*run.sentences, *tell_surprises(cfg, args.opts[::2])):
        logger.warning(sentence)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK and not cfg.DETERMINISTIC
    if cfg.DETERMINISTIC:
        compute_deterministically()
    if cfg.MODEL.DEVICE == "cpu" and comm.get_world_size() > 1:
        torch.set_num_threads(max(torch.get_num_threads() // comm.get_local_size(), 1))
    return run


def find_weights(args: argparse.Namespace) -> str:
    """Returns the checkpoint whose config is used where the command line names no file."""
    words = dict(zip(args.opts[::2], args.opts[1::2], strict=False))
    return "" if args.config_file else words.get("MODEL.WEIGHTS", "")


def compute_deterministically() -> None:
    """Makes PyTorch give the same bits every time, or refuse what it cannot give so."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.utils.deterministic.fill_uninitialized_memory = False


def train(
    run: Run, kind: type[Trainer], *, resume: bool, hooks: Sequence[HookBase] = ()
) -> tuple[Trainer, dict[str, Any] | None]:
    """Trains in the folder of a run, which no other training can use meanwhile.

    Args:
        run: from `setup`.
        kind: of the trainer.
        resume: whether to go on from a checkpoint of the folder, if there is one.
        hooks: beside the usual ones.

    Returns:
        The trainer and the results of the last evaluation.

    Raises:
        ValueError: the folder is in use, or the weights do not fit.
    """
    folder = Path(run.cfg.OUTPUT_DIR)
    with locked(folder) if comm.is_main_process() else nullcontext():
        start, sentence = from_main(find_start, folder) if resume else (None, "")
        if sentence:
            logger.warning(sentence)
        if comm.is_main_process():
            sweep(folder)
        trainer = kind(run.cfg, run.categories)
        trainer.register_hooks(list(hooks))
        tell("loading weights")
        trainer.begin(start)
        if comm.is_main_process():
            write_text(folder / "config.yaml", run.cfg.dump())
        return trainer, trainer.train()
