"""Backbones: the ResNet is Detectron2's, its TensorFlow variants, MaX-S."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.resnet import BasicStem, ResNet

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.modeling import settings
from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.recomputation import set_recompute

CONFIGS = Path(__file__).parents[3] / "configs"
CONFIG = CONFIGS / "coco/panoptic_segmentation/kmax_r50.yaml"
STAGES = ("res2", "res3", "res4", "res5")
ALL_FEATURES = ("MODEL.RESNETS.OUT_FEATURES", ["stem", "res2", "res3", "res4", "res5"])


def detectron2s(depth: int) -> ResNet:
    norm = make_norm("SyncBN", 0.01)
    stages = ResNet.make_default_stages(depth, norm=norm)
    return ResNet(BasicStem(3, 64, norm=norm), stages, out_features=list(STAGES))


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("depth", [18, 50])
def test_the_resnet_computes_and_learns_what_detectron2s_does(recompute, depth):
    widths = {"MODEL.RESNETS.DEPTH": depth, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64}
    words = [word for pair in widths.items() for word in pair] if depth == 18 else []
    ours = build_backbone(load_config(CONFIG, words)).train()
    set_recompute(ours, recompute)
    theirs = detectron2s(depth).train()
    theirs.load_state_dict(ours.state_dict())
    image, results = torch.randn(2, 3, 65, 65), []
    for backbone in (theirs, ours):
        features = backbone(image)
        sum(feature.sum() for feature in features.values()).backward()
        gradients = {n: p.grad.clone() for n, p in backbone.named_parameters()}
        results.append((features, gradients, dict(backbone.named_buffers())))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    shapes = [backbone.output_shape() for backbone in (theirs, ours)]
    assert {n: (s.channels, s.stride) for n, s in shapes[0].items()} == shapes[1]


def resnet(*options: object) -> torch.nn.Module:
    return build_backbone(load_config(CONFIG, [*ALL_FEATURES, *options])).eval()


@torch.no_grad()
def test_activating_on_entry_leaves_out_the_last_relu_of_each_feature():
    plain, variant = resnet(), resnet("MODEL.RESNETS.ACTIVATE_ON_ENTRY", True)
    variant.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 65, 65)
    expected, features = plain(image), variant(image)
    assert all(feature.min() < 0 for feature in features.values())
    torch.testing.assert_close({k: F.relu(v) for k, v in features.items()}, expected)


@torch.no_grad()
def test_without_max_pool_the_stem_has_stride_2_and_the_second_stage_halves():
    plain, variant = resnet(), resnet("MODEL.RESNETS.STEM_POOL", False)
    variant.load_state_dict(plain.state_dict())
    strides = {name: shape.stride for name, shape in variant.output_shape().items()}
    assert strides == {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
    image = torch.randn(1, 3, 65, 97)
    features = variant(image)
    assert {k: v.shape[2:] for k, v in features.items()} == {
        name: (64 // stride + 1, 96 // stride + 1) for name, stride in strides.items()
    }
    pooled = F.max_pool2d(features["stem"], 3, stride=2, padding=1)
    torch.testing.assert_close(pooled, plain(image)["stem"])
    block = variant.res2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert (block.conv3.stride, block.shortcut.stride) == ((1, 1), (2, 2))


@pytest.mark.parametrize("key", ["STEM_POOL", "ACTIVATE_ON_ENTRY"])
def test_variants_of_resnets_without_bottlenecks_are_refused(key):
    value = key == "ACTIVATE_ON_ENTRY"
    with pytest.raises(ValueError, match=r"DEPTH 50, 101 or 152, not 18"):
        resnet("MODEL.RESNETS.DEPTH", 18, f"MODEL.RESNETS.{key}", value)


def test_an_unknown_feature_of_the_axial_resnet_is_refused():
    cfg = load_config(CONFIGS / "coco/panoptic_segmentation/tf_kmax_maxs.yaml")
    cfg.MODEL.AXIAL_RESNET.OUT_FEATURES = ["res9"]
    with pytest.raises(ValueError, match=r"AXIAL_RESNET.OUT_FEATURES has \['res9'\].*'stem'"):
        build_backbone(cfg)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*/*/tf_*.yaml")), ids=lambda p: p.stem)
def test_tensorflow_configs_order_features_by_true_stride(file):
    cfg = load_config(file, ["MODEL.DEVICE", "meta"])
    with torch.device("meta"), Undrawn():
        shapes = build_backbone(cfg).output_shape()
    used = cfg.MODEL.KMAX_DEEPLAB.PIXEL_DEC.IN_FEATURES
    order = ["res5", "res4", "res3", "res2", "stem"][: len(used)]
    assert settings.head(cfg, shapes).features == order


def test_the_axial_resnet_drops_paths_as_published():
    cfg = load_config(CONFIGS / "coco/panoptic_segmentation/tf_kmax_maxs.yaml")
    with torch.device("meta"), Undrawn():
        backbone = build_backbone(cfg)
    rates = {name: [b.drop_path.drop_prob for b in getattr(backbone, name)] for name in STAGES}
    assert rates == {
        "res2": [0.0] * 3,
        "res3": [0.0] * 4,
        "res4": [0.0, 0.15, 0.15, 0.15, 0.15, 0.15],
        "res5": [0.15, 0.2, 0.2],
    }


def test_what_is_frozen_keeps_its_parameters_and_its_statistics():
    backbone = build_backbone(load_config(CONFIG, ["MODEL.BACKBONE.FREEZE_AT", 2])).train()
    keys = build_backbone(load_config(CONFIG)).state_dict().keys()
    assert backbone.state_dict().keys() == keys
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    features = backbone(torch.randn(2, 3, 65, 65))
    sum(feature.sum() for feature in features.values()).backward()
    after = backbone.state_dict()
    moved = {name.split(".")[0] for name, value in after.items() if not value.equal(before[name])}
    assert moved == {"res3", "res4", "res5"}
    learns = {n.split(".")[0] for n, p in backbone.named_parameters() if p.grad is not None}
    assert learns == {"res3", "res4", "res5"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WIDTH_PER_GROUP", 128),
        ("STEM_OUT_CHANNELS", 32),
        ("RES5_DILATION", 2),
        ("DEFORM_ON_PER_STAGE", [False, False, True, True]),
        ("DEPTH", 51),
        ("OUT_FEATURES", ["res2", "res6"]),
    ],
)
def test_what_the_resnet_does_not_build_is_refused_by_key(key, value):
    with pytest.raises(ValueError, match=rf"MODEL\.RESNETS\.{key}"):
        resnet(f"MODEL.RESNETS.{key}", value)


@pytest.mark.parametrize("name", ["D2ConvNeXt", "D2AxialResNet", "D2Timm"])
def test_other_backbones_refuse_to_be_frozen(name):
    words = ["MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.FREEZE_AT", 2]
    with pytest.raises(ValueError, match=rf"FREEZE_AT is 2, but only the ResNet .* not {name}"):
        build_backbone(load_config(CONFIG, words))
