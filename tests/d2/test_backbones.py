"""The ResNet is Detectron2's, and learns the same with less memory."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.resnet import ResNet

from kmax_deeplab.d2.run_config import load_config
from kmax_deeplab.modeling.recomputation import set_recompute

CONFIG = Path(__file__).parents[2] / "configs/coco/panoptic_segmentation/kmax_r50.yaml"


@pytest.mark.parametrize("recompute", [False, True])
def test_the_resnet_computes_and_learns_what_detectron2s_does(recompute):
    backbone = build_backbone(load_config(CONFIG)).train()
    set_recompute(backbone, recompute)
    image, results = torch.randn(2, 3, 65, 65), []
    for forward in (ResNet.forward, type(backbone).forward):
        backbone.zero_grad()
        features = forward(backbone, image)
        sum(feature.sum() for feature in features.values()).backward()
        results.append((features, {n: p.grad.clone() for n, p in backbone.named_parameters()}))
    assert list(results[0][0]) == list(results[1][0])
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert backbone.stem.conv1.norm.num_batches_tracked == 2
    assert backbone.res2[0].conv1.norm.num_batches_tracked == 2
