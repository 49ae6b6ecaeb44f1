"""The report of a run: a trained model, its scores and a test dataset enter, the page's content
leaves.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.engine.loaders import build_test_loader
from kmax_deeplab.d2.engine.opening import EVALUATE, Run, fit, open_model, open_run, read_config
from kmax_deeplab.d2.engine.pictures import draw_examples
from kmax_deeplab.d2.engine.testing import Tester
from kmax_deeplab.metrics.folders import Labelled
from kmax_deeplab.run_folder import weights_in
from kmax_deeplab.visualize.report.page import Report
from kmax_deeplab.visualize.report.predictions import (
    Predictions,
    distinct_names,
    find_faults_of,
    metrics_beside,
)
from kmax_deeplab.visualize.report.run_facts import facts_of_page, facts_of_training
from kmax_deeplab.visualize.report.scores import read_scores

logger = logging.getLogger(__name__)


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
        other: another run or checkpoint of the same classes, or predictions, to compare with; "":
            none.

    Raises:
        FileNotFoundError, ValueError: it is not clear which dataset or which weights.
    """
    run = _open(config_file, opts, weights, dataset)
    cfg, path = run.cfg, Path(run.cfg.MODEL.WEIGHTS)
    model, results = _evaluate(run, "report")
    places = [path.parent, *([_folder_of(other)] if other else [])]
    compared, logged = [predictions_of(cfg, distinct_names(places)[0], "report")], {}
    if other:
        second, logged = _open_other(cfg, opts, other)
        compared.append(replace(second, name=distinct_names(places)[1]))
    content = make_report(
        cfg,
        model,
        results,
        title=title,
        summary=f"{path}{f' and {other}' if other else ''}, evaluated on {cfg.DATASETS.TEST[0]}.",
        settings={
            "config": config_file or "of the checkpoint",
            "overrides": " ".join(opts) or "none",
            "seed": str(cfg.SEED),
        },
        folder=path.parent,
        count=count,
        compared=compared,
    )
    return Shown(replace(content, other_metrics=logged), path.with_name("report.html"))


def _folder_of(place: str) -> Path:
    return Path(place) if Path(place).is_dir() else Path(place).parent


def _open_other(cfg: CfgNode, opts: Sequence[str], other: str) -> tuple[Predictions, dict]:
    """Evaluates another run if its predictions are not at hand; returns also what it logged."""
    if Path(other).suffix == ".json" or (Path(other) / "predictions.json").is_file():
        return Predictions(other, Path(other)), metrics_beside(Path(other))
    weights = Path(weights_in(other))
    asked = read_config(None, opts, weights)
    asked.DATASETS, asked.OUTPUT_DIR = cfg.DATASETS.clone(), cfg.OUTPUT_DIR
    asked.TEST.SAVE_PREDICTIONS, asked.TEST.MAX_IMAGES = True, cfg.TEST.MAX_IMAGES
    _evaluate(fit(asked, EVALUATE), "report_other")
    return predictions_of(cfg, other, "report_other"), metrics_beside(weights.parent)


def _open(config_file: str | None, opts: Sequence[str], weights: str, dataset: str | None) -> Run:
    run = open_run(config_file, opts, weights=weights_in(weights))
    for sentence in run.sentences:
        logger.warning(sentence)
    tested = run.cfg.DATASETS.TEST
    datasets = (dataset,) if dataset else tested
    if len(datasets) != 1 or datasets[0] not in tested:
        raise ValueError(f"name one of DATASETS.TEST {list(tested)} with --dataset")
    run.cfg.DATASETS.TEST, run.cfg.TEST.SAVE_PREDICTIONS = datasets, True
    return run


def _evaluate(run: Run, folder: str) -> tuple[nn.Module, Mapping]:
    model = open_model(run.cfg, run.categories)
    return model, Tester.test(run.cfg, model, folder=folder)


def predictions_of(cfg: CfgNode, name: str, folder: str = "") -> Predictions:
    """Returns what an evaluation with TEST.SAVE_PREDICTIONS found on the first test dataset.

    Args:
        cfg: of the evaluation.
        name: what to call the predictions.
        folder: of the results below `inference/`.
    """
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
    folder: Path,
    count: int,
    compared: Sequence[Predictions],
) -> Report:
    """Gathers what the report of a run shows.

    Args:
        cfg: its first test dataset is shown.
        model: as trained.
        results: of the evaluation on that dataset, with "panoptic_seg".
        title, summary: of the page.
        settings: what to list before the settings that the config tells.
        folder: of the training, with metrics.json and its log, if there are any.
        count: most images to draw with every k-means layer.
        compared: what the evaluation found, and perhaps what another one did.
    """
    dataset = cfg.DATASETS.TEST[0]
    categories, known = categories_of(dataset), MetadataCatalog.get(dataset)
    truth = Labelled(Path(known.panoptic_json), Path(known.panoptic_root), Path(known.image_root))
    found = find_faults_of(truth, compared)
    told = {**facts_of_page(), **settings, **describe_run(cfg, model), **facts_of_training(folder)}
    return Report(
        title=title,
        summary=summary,
        scores=read_scores(results["panoptic_seg"], categories),
        categories=categories,
        settings=told,
        metrics=metrics_beside(folder),
        examples=draw_examples(model, build_test_loader(cfg, dataset), categories, count),
        faults=found.sections,
        other=compared[1].name if len(compared) > 1 else "",
        other_scores=found.others,
    )


def describe_run(cfg: CfgNode, model: nn.Module) -> dict[str, str]:
    """Lists the settings of a run that a reader of the report wants to know."""
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return {
        "training": f"{cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} images",
        "learning rate": f"{cfg.SOLVER.BASE_LR:g}, {cfg.SOLVER.WARMUP_ITERS} warm-up iterations",
        "model": f"{cfg.MODEL.BACKBONE.NAME}, {parameters:.1f} M parameters in training",
        "clusters": str(cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES),
        "device": f"{device_name(cfg.MODEL.DEVICE)}, PyTorch {torch.__version__}",
    }


def device_name(device: str) -> str:
    """Returns what a device is called: a GPU by its product."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
