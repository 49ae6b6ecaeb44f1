"""The report of a run: a trained model, its scores and a test dataset enter, the page's content
leaves.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.engine.loaders import build_test_loader
from kmax_deeplab.d2.engine.opening import Run, open_model, open_run
from kmax_deeplab.d2.engine.pictures import draw_examples
from kmax_deeplab.d2.engine.testing import Tester
from kmax_deeplab.metrics.folders import Labelled
from kmax_deeplab.visualize.fault_report import Predictions, fault_sections
from kmax_deeplab.visualize.loss_curves import read_losses
from kmax_deeplab.visualize.report import Report
from kmax_deeplab.visualize.scores import read_scores


@dataclass(frozen=True)
class Shown:
    """A page, and where it is to lie if nobody says otherwise."""

    report: Report
    beside: Path


def evaluate_and_show(
    config_file: str | None,
    opts: Sequence[str],
    weights: str,
    *,
    dataset: str | None,
    title: str,
    count: int,
    other: str = "",
) -> Shown:
    """Evaluates a checkpoint on one test dataset, and gathers the page about it.

    Args:
        config_file, opts, weights: see `opening.open_run`.
        dataset: which of DATASETS.TEST; None: the only one.
        title: of the page.
        count: most images to draw with every k-means layer.
        other: another checkpoint of the same classes, or predictions, to compare with; "": none.

    Raises:
        FileNotFoundError, ValueError: it is not clear which dataset or which weights.
    """
    run = _open(config_file, opts, weights, dataset)
    cfg, weights = run.cfg, Path(run.cfg.MODEL.WEIGHTS)
    model, results = _evaluate(run, "report")
    content = make_report(
        cfg,
        model,
        results,
        title=title,
        summary=f"{weights}, evaluated on {cfg.DATASETS.TEST[0]}.",
        settings={
            "written": f"{datetime.now():%Y-%m-%d %H:%M}",
            "config": config_file or "of the checkpoint",
            "overrides": " ".join(opts) or "none",
            "seed": str(cfg.SEED),
        },
        metrics=weights.with_name("metrics.json"),
        count=count,
    )
    found = [_predictions(cfg, weights.parent.name or str(weights), "report")]
    if other.endswith((".pth", ".pkl", ".safetensors")):
        second = _open(None, opts, other, dataset or cfg.DATASETS.TEST[0])
        second.cfg.OUTPUT_DIR = cfg.OUTPUT_DIR
        _evaluate(second, "report_other")
        found.append(_predictions(cfg, Path(other).parent.name or other, "report_other"))
    elif other:
        found.append(Predictions(Path(other).name, Path(other)))
    known = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    truth = Labelled(Path(known.panoptic_json), Path(known.panoptic_root), Path(known.image_root))
    sections, _ = fault_sections(truth, found)
    return Shown(replace(content, faults=sections), weights.with_name("report.html"))


def _open(config_file: str | None, opts: Sequence[str], weights: str, dataset: str | None) -> Run:
    run = open_run(config_file, opts, weights=weights)
    for sentence in run.sentences:
        print(sentence)  # noqa: T201  a tool's own words
    tested = run.cfg.DATASETS.TEST
    datasets = (dataset,) if dataset else tested
    if len(datasets) != 1 or datasets[0] not in tested:
        raise ValueError(f"name one of DATASETS.TEST {list(tested)} with --dataset")
    run.cfg.DATASETS.TEST, run.cfg.TEST.SAVE_PREDICTIONS = datasets, True
    return run


def _evaluate(run: Run, folder: str) -> tuple[nn.Module, Mapping]:
    model = open_model(run.cfg, run.categories)
    return model, Tester.test(run.cfg, model, folder=folder)


def _predictions(cfg: CfgNode, name: str, folder: str) -> Predictions:
    place = Tester.results_folder(cfg, cfg.DATASETS.TEST[0], folder)
    return Predictions(name, place, is_part=cfg.TEST.MAX_IMAGES > 0)


def make_report(
    cfg: CfgNode,
    model: nn.Module,
    results: Mapping,
    *,
    title: str,
    summary: str,
    settings: Mapping[str, str],
    metrics: Path,
    count: int,
) -> Report:
    """Gathers what the report of a run shows.

    Args:
        cfg: its first test dataset is shown.
        model: as trained.
        results: of the evaluation on that dataset, with "panoptic_seg".
        title, summary: of the page.
        settings: what to list before the settings that the config tells.
        metrics: the training's metrics.json, for the curves; there are none if it is missing.
        count: most images to draw.
    """
    dataset = cfg.DATASETS.TEST[0]
    categories = categories_of(dataset)
    return Report(
        title=title,
        summary=summary,
        scores=read_scores(results["panoptic_seg"], categories),
        categories=categories,
        settings={**settings, **describe_run(cfg, model)},
        losses=read_losses(metrics) if metrics.is_file() else {},
        examples=draw_examples(model, build_test_loader(cfg, dataset), categories, count),
    )


def describe_run(cfg: CfgNode, model: nn.Module) -> dict[str, str]:
    """Lists the settings of a run that a reader of the report wants to know."""
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return {
        "training": f"{cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} images",
        "learning rate": f"{cfg.SOLVER.BASE_LR:g}, {cfg.SOLVER.WARMUP_ITERS} warm-up iterations",
        "model": f"{cfg.MODEL.BACKBONE.NAME}, {parameters:.1f} M parameters in training",
        "clusters": str(cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES),
        "machine": f"{cfg.MODEL.DEVICE}, {platform.machine()}, PyTorch {torch.__version__}",
    }
