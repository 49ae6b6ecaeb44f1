"""What a model makes of some images: a loader of inputs enters, drawn examples leave."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from kmax_deeplab.d2.data.catalog import categories_of
from kmax_deeplab.d2.data.mapper import EvaluationMapper
from kmax_deeplab.d2.evaluation.build import evaluated_records
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.samples.reading import read_labelled
from kmax_deeplab.visualize.contact_sheet import contact_sheet
from kmax_deeplab.visualize.examples import Example, Segmentation, make_example
from kmax_deeplab.visualize.query_panels import layer_panels


@torch.no_grad()
def draw_examples(
    model: nn.Module, batches: Iterable[list[dict]], categories: Categories, count: int
) -> list[Example]:
    """Draws images: ground truth, prediction, the assignment of every k-means layer.

    Args:
        model: the meta-architecture; it is left in evaluation mode.
        batches: of inputs that hold their records.
        categories: of the dataset.
        count: most images.
    """
    model.eval()
    inputs = (given for batch in batches for given in batch)
    return [_draw(model, given, categories) for given in islice(inputs, count)]


def show_examples(cfg: CfgNode, model: nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    """Draws the first TEST.SHOWN_IMAGES images of the first test dataset, in this process alone.

    Args:
        cfg: the config.
        model: the bare meta-architecture; its mode stays.

    Yields:
        a name and an (H, W, 3) uint8 RGB picture.
    """
    if not cfg.DATASETS.TEST:
        return
    name, count = cfg.DATASETS.TEST[0], cfg.TEST.SHOWN_IMAGES
    categories, was_training = categories_of(name), model.training
    if not (count and cfg.MODEL.KMAX_DEEPLAB.TEST.PANOPTIC_ON and categories):
        return
    mapper = EvaluationMapper(cfg)
    batches = ([mapper(record)] for record in evaluated_records(cfg, name)[:count])
    for example in draw_examples(model, batches, categories, count):
        yield example.name, one_picture(example)
    model.train(was_training)


def _draw(model: nn.Module, given: Mapping, categories: Categories) -> Example:
    ids, segments_info = model([given])[0]["panoptic_seg"]
    segmentations = {
        "ground truth": read_truth(given),
        "prediction": Segmentation(ids.cpu().numpy(), segments_info),
    }
    image = read_labelled(given).image
    layers = []
    if not model.inputs.tile:  # else each window has clusters of its own
        predictions, geometries = model.layers_of([given])
        found = segmentations["prediction"]
        layers = layer_panels(image, predictions, *geometries, found, categories)
    return make_example(f"image {given['image_id']}", image, segmentations, categories, layers)


def read_truth(record: Mapping) -> Segmentation:
    """Reads the labels of a record; crowds are void."""
    labelled = read_labelled(record)
    segments_info = [
        {"id": index, "category_id": segment.category, "isthing": segment.is_thing}
        for index, segment in enumerate(labelled.segments)
    ]
    return Segmentation(labelled.segment_map.astype(np.int64), segments_info)


def one_picture(example: Example) -> np.ndarray:
    """Arranges all pictures of an example in one, (H, W, 3) uint8 RGB."""
    panels = [*example.panels, *example.layers]
    return contact_sheet([(panel.caption, panel.picture) for panel in panels])
