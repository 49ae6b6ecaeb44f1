"""A model of a few thousand weights, to try on it what is done with any model."""

import torch

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.model.build import build_model
from kmax_deeplab.model.description import HeadDescription, InputDescription, ModelDescription
from kmax_deeplab.model.kmax import KMaXDeepLab
from kmax_deeplab.structures import MergeThresholds

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
