"""The report of a run: a trained model, its scores and a test dataset enter, the page's content
leaves.
"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.engine.trainer import Trainer
from kmax_deeplab.data.samples.reading import read_labelled
from kmax_deeplab.visualize.examples import Example, Segmentation, layer_panels, make_example
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
        examples=collect_examples(cfg, model, dataset, count),
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


@torch.no_grad()
def collect_examples(cfg: CfgNode, model: nn.Module, dataset: str, count: int) -> list[Example]:
    """Draws the first images of a dataset: ground truth, prediction, assignment of every layer.

    Args:
        cfg: describes the test-time input.
        model: the meta-architecture; it is left in evaluation mode.
        dataset: name of a registered panoptic dataset.
        count: most images to draw.
    """
    model.eval()
    records = {record["image_id"]: record for record in DatasetCatalog.get(dataset)}
    categories = categories_of(dataset)
    examples = []
    for inputs in islice(Trainer.build_test_loader(cfg, dataset), count):
        record = records[inputs[0]["image_id"]]
        ids, segments_info = model(inputs)[0]["panoptic_seg"]
        segmentations = {
            "ground truth": read_truth(record),
            "prediction": Segmentation(ids.cpu().numpy(), segments_info),
        }
        image = read_labelled(record).image
        predictions, geometries = model.layers_of(inputs)
        layers = layer_panels(image, predictions, *geometries)
        name = f"image {record['image_id']}"
        examples.append(make_example(name, image, segmentations, categories, layers))
    return examples


def read_truth(record: dict) -> Segmentation:
    """Reads the labels of a record; crowds are void."""
    labelled = read_labelled(record)
    segments_info = [
        {"id": index, "category_id": segment.category, "isthing": segment.is_thing}
        for index, segment in enumerate(labelled.segments)
    ]
    return Segmentation(labelled.segment_map.astype(np.int64), segments_info)
