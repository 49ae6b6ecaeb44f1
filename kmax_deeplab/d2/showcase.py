"""Examples for a report: a trained model and a test dataset enter, annotated pictures leave."""

from itertools import islice

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import nn

from kmax_deeplab.d2.labelled_files import read_labelled
from kmax_deeplab.d2.trainer import Trainer
from kmax_deeplab.visualize.examples import Example, Segmentation, layer_panels, make_example


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
    categories = MetadataCatalog.get(dataset).categories
    examples = []
    for inputs in islice(Trainer.build_test_loader(cfg, dataset), count):
        record = records[inputs[0]["image_id"]]
        ids, segments_info = model(inputs)[0]["panoptic_seg"]
        segmentations = {
            "ground truth": read_truth(record),
            "prediction": Segmentation(ids.cpu().numpy(), segments_info),
        }
        image = read_labelled(record, "RGB").image
        layers = layer_panels(image, model.predict_layers(inputs), model.image_size)
        name = f"image {record['image_id']}"
        examples.append(make_example(name, image, segmentations, categories, layers))
    return examples


def read_truth(record: dict) -> Segmentation:
    """Reads the labels of a record; crowds are void."""
    labelled = read_labelled(record, "RGB")
    segments_info = [
        {"id": index, "category_id": segment.category, "isthing": segment.is_thing}
        for index, segment in enumerate(labelled.segments)
    ]
    return Segmentation(labelled.segment_map.astype(np.int64), segments_info)
