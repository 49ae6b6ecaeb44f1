"""A model of a few thousand weights, to try on it what is done with any model."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.model.build import build_model
from kmax_deeplab.model.description import HeadDescription, InputDescription, ModelDescription
from kmax_deeplab.model.kmax import KMaXDeepLab
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.stages import unwatched
from kmax_deeplab.structures import MergeThresholds
from tests.scripts import load_script

NAMES = ("sky", "cat", "dog", "grass")


def tiny_model(*, folded: bool = True) -> KMaXDeepLab:
    """A small model of random weights that finds some segments in noise.

    Args:
        folded: whether it was made to predict only before it got its weights.
    """
    torch.manual_seed(5)
    convnext = {"kind": "convnext", "depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    head = HeadDescription(
        features=["res5", "res4", "res3", "res2"],
        num_classes=4,
        num_queries=8,
        decoder_depths=[1, 1, 1, 1],
        decoder_blocks=["axial", "axial", "bottleneck", "bottleneck"],
        decoder_channels=[16, 16, 8, 8],
        clusterings=[0, 1, 1],
        semantic=None,
        norm="BN",
    )
    inputs = InputDescription([65, 65], 65, 65, [127.5] * 3, [127.5] * 3)
    merge = MergeThresholds(thing=0.0, stuff=0.0, pixel=0.1, overlap=0.1)
    listed = [{"id": 10 + i, "name": n, "isthing": i in (1, 2)} for i, n in enumerate(NAMES)]
    description = ModelDescription(convnext, head, inputs, merge)
    model = build_model(description, Categories.from_json(listed)).eval()
    if folded:
        model.only_predict()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def tiny_command(weights: Path) -> Callable:
    """Returns `main` of tools/predict.py, whatever the weights: it predicts with a tiny model.

    Args:
        weights: a file that is written, of which the results are said to be.
    """
    weights.write_bytes(b"tiny")
    script, predict = load_script("tools/predict.py"), Predictor(tiny_model())
    thresholds, inputs = predict.model.merge, predict.inputs

    def open_predictor(args: Namespace) -> tuple:
        predict.model.merge, predict.inputs, predict.watch = thresholds, inputs, unwatched
        return predict, predict.categories, str(weights)

    script.open_predictor = open_predictor
    return script.main
