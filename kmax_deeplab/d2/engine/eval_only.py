"""An evaluation for itself: a config and a model enter, results leave, whoever is killed meanwhile.

What an earlier process has seen is not looked at again. Tasks of a SLURM array, which know nothing
of each other, share the images; the one that is done last adds up.
"""

import hashlib
import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import inference_on_dataset
from torch import nn

from kmax_deeplab.d2.engine.testing import Tester
from kmax_deeplab.d2.evaluation.build import AllMetrics, build_evaluator, evaluated_records
from kmax_deeplab.d2.evaluation.snapshots import Snapshots, left_of
from kmax_deeplab.modeling.folding import folded_norms
from kmax_deeplab.predict.shares import array_share

logger = logging.getLogger(__name__)
INCIDENTAL = ("OUTPUT_DIR", "DATALOADER", "LOGGERS", "SEED")
"""Keys of a config that change no result of an evaluation."""


def evaluate_on(cfg: CfgNode, model: nn.Module, weights: Path) -> dict[str, Any]:
    """Evaluates a model on all test datasets.

    Args:
        cfg: of the run.
        model: to evaluate.
        weights: where they come from.

    Returns:
        The results, by dataset if there are several; empty in other processes than the main one,
        and where other tasks of an array have not done their share.
    """
    results = OrderedDict()
    for name in cfg.DATASETS.TEST:
        folder = Tester.results_folder(cfg, name)
        is_shared = array_share(os.environ).count > 1
        snapshots = Snapshots(folder, stamp_of(cfg, weights, name), is_shared=is_shared)
        evaluator = build_evaluator(cfg, name, str(folder), snapshots)
        with folded_norms(model):
            results[name] = _evaluate_one(cfg, model, name, evaluator, snapshots)
    return next(iter(results.values())) if len(results) == 1 else results


def _evaluate_one(
    cfg: CfgNode, model: nn.Module, name: str, evaluator: AllMetrics, snapshots: Snapshots
) -> dict[str, Any]:
    records = evaluated_records(cfg, name)
    done = snapshots.done
    left, share = left_of(records, done), array_share(os.environ)
    if done:
        logger.info("%s: %d of %d images were evaluated before", name, len(done), len(records))
    if share.count > 1:
        own = share.of({record["file_name"]: record["image_id"] for record in records})
        left = [record for record in left if record["file_name"] in own]
    if left:
        loader = Tester.build_test_loader(cfg, name, left)
        evaluator.postponed = share.count > 1
        results = inference_on_dataset(model, loader, evaluator)
        evaluator.postponed = False
        if share.count == 1:
            snapshots.clear()
            return results
        evaluator.save()
    if missing := left_of(records, snapshots.find_done()):
        logger.info("%s: %d images are left to other tasks of the array", name, len(missing))
        return {}
    evaluator.reset()
    results = evaluator.evaluate()
    snapshots.clear()
    return results


def stamp_of(cfg: CfgNode, weights: Path, name: str) -> str:
    """Returns what the results on a dataset depend on, as text."""
    settings = cfg.clone()
    settings.defrost()
    for key in INCIDENTAL:
        del settings[key]
    status = weights.stat() if weights.is_file() else None
    version = f"{status.st_size} bytes of {status.st_mtime_ns}" if status else "address"
    digest = hashlib.sha256(settings.dump().encode()).hexdigest()
    return f"{name}\n{weights} ({version})\n{digest}\n"
