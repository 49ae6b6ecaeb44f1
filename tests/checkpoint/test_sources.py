"""ImageNet backbones: recognised, translated, and computing the same as their originals."""

from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from detectron2.modeling import build_backbone
from torch import nn

from kmax_deeplab.checkpoint.sources import translate
from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.modeling.layers import BATCH_NORM_EPS
from tests.d2.config.test_keys import config

BASIC = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}
R50 = "coco/panoptic_segmentation/kmax_r50.yaml"
TINY = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}


def resnet(depth):
    channels = ("MODEL.RESNETS.RES2_OUT_CHANNELS", "64") if depth < 50 else ()
    options = ("MODEL.RESNETS.DEPTH", str(depth), "MODEL.DEVICE", "cpu", *channels)
    return build_backbone(config(*options, file=R50))


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_every_torchvision_resnet_has_exactly_the_entries_of_ours(depth):
    with torch.device("meta"), Undrawn():
        ours = resnet(depth)
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    weights = translate(theirs.state_dict())
    expected = {f"backbone.{name}": shape for name, shape in shapes(ours.state_dict()).items()}
    assert shapes(weights.state) == expected
    assert weights.unused == ["fc.weight", "fc.bias"]
    assert not weights.whole


@torch.no_grad()
def test_a_torchvision_resnet_computes_the_same_in_ours():
    norm = partial(nn.BatchNorm2d, eps=BATCH_NORM_EPS)
    theirs = torchvision.models.resnet18(norm_layer=norm).eval()
    ours = resnet(18).eval()
    fill(ours, theirs.state_dict())
    x = image = torch.randn(1, 3, 65, 65)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(theirs, name)(x)
    torch.testing.assert_close(ours(image)["res5"], x)


def fill(backbone, state):
    found = translate(state).state
    backbone.load_state_dict({name.removeprefix("backbone."): v for name, v in found.items()})


@torch.no_grad()
@pytest.mark.parametrize("conv_mlp", [False, True])
def test_a_timm_convnext_computes_the_same_in_ours(conv_mlp):
    theirs = timm.models.convnext.ConvNeXt(**TINY, conv_mlp=conv_mlp, ls_init_value=0.5).eval()
    ours = ConvNeXt(**TINY).eval()
    fill(ours, theirs.state_dict())
    image = torch.randn(1, 3, 61, 61)  # ours pads it to 64 before the stem, where timm rounds down
    expected = theirs.forward_intermediates(F.pad(image, (1, 2, 1, 2)), intermediates_only=True)
    torch.testing.assert_close(list(ours(image).values())[1:], list(expected))


def test_an_official_convnext_file_has_our_names_below_the_backbone():
    ours = ConvNeXt(**TINY)
    classifier = {"norm.weight": torch.ones(32), "head.weight": torch.ones(10, 32)}
    weights = translate({**ours.state_dict(), **classifier})
    assert weights.title == "official ConvNeXt"
    assert weights.unused == list(classifier)
    assert shapes(weights.state) == {
        f"backbone.{n}": s for n, s in shapes(ours.state_dict()).items()
    }


def test_names_of_a_wrapped_model_lose_their_prefix():
    state = {f"module.{name}": value for name, value in ConvNeXt(**TINY).state_dict().items()}
    assert all(n.startswith(("backbone.stages", "backbone.down")) for n in translate(state).state)


def test_parameters_that_ours_lacks_are_not_dropped_silently():
    theirs = timm.models.convnext.ConvNeXt(**TINY, use_grn=True, ls_init_value=None)
    missing = shapes(translate(theirs.state_dict()).state).keys()
    assert "backbone.stages.0.0.mlp.grn.weight" in missing
