"""The report of a run: a trained model, its scores and a test dataset enter, the page's content
leaves.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.engine.loaders import build_test_loader
from kmax_deeplab.d2.engine.pictures import draw_examples
from kmax_deeplab.visualize.loss_curves import read_losses
from kmax_deeplab.visualize.report import Report
from kmax_deeplab.visualize.scores import read_scores


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
        "machine": f"{cfg.MODEL.DEVICE}, PyTorch {torch.__version__}",
    }
