"""A model with everything that the TensorFlow zoo does otherwise: MaX-S, a stem at stride 2."""

import pytest
import torch
from torch import nn

from kmax_deeplab.d2.engine.opening import build
from tests.d2.config.test_keys import config
from tests.d2.modeling.test_meta_arch import CLASSES, TINY, sample

pytestmark = pytest.mark.slow

MAXS = {
    "MODEL.AXIAL_RESNET.DEPTHS": "[1,1,2,1]",
    "MODEL.AXIAL_RESNET.AXIAL_DEPTHS": "[0,0,1,1]",
    "MODEL.AXIAL_RESNET.STEM_CHANNELS": "4",
    "MODEL.AXIAL_RESNET.DROP_PATH_PROBS": "[0.0,0.0,0.1,0.1,0.2]",
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": "[1,1,1,1,1]",
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": "[8,8,8,8,8]",
    "MODEL.KMAX_DEEPLAB.USE_AUX_SEMANTIC_DECODER": "True",
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    settings = [part for pair in (TINY | MAXS).items() for part in pair]
    model = build(
        config(*settings, file="cityscapes/panoptic_segmentation/tf_kmax_maxs.yaml"), CLASSES
    )
    for module in model.modules():
        if hasattr(module, "conv3_bn"):  # its scale starts at 0, which stops gradients
            nn.init.ones_(module.conv3_bn.norm.weight)
    return model


def test_it_predicts_masks_at_stride_2(model):
    with torch.no_grad():
        features = model.eval().backbone(model.preprocess([sample()["image"]]))
        final = model.sem_seg_head(features).predictions[-1]
        ids, _ = model([sample() | {"height": 40, "width": 50}])[0]["panoptic_seg"]
    assert final.mask_logits.shape == (1, 6, 33, 33)
    assert ids.shape == (40, 50)


def test_it_trains_with_targets_at_stride_4(model):
    losses = model.train()([sample(), sample()])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
