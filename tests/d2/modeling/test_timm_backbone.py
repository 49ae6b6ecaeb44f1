"""A run on backbones of timm: a step of training, an evaluation, gradients everywhere."""

from pathlib import Path

import pytest
import timm
import torch
from detectron2.modeling import build_backbone, build_model
from torch import nn

import train_net
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine.solver import parameter_groups
from kmax_deeplab.d2.engine.trainer import Trainer
from tests.tiny_run import TINY, command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CONFIG = Path(train_net.__file__).parent / "configs" / "shapes" / "kmax_timm.yaml"
SWIN = ["embed_dim", 8, "depths", [1, 1, 2, 1], "num_heads", [1, 1, 2, 2], "window_size"]
BACKBONES = {
    "swin": ("swin_tiny_patch4_window7_224", [*SWIN, 3]),
    "swin v2": ("swinv2_tiny_window8_256", [*SWIN, 4]),
    "convnext v2": ("test_convnext2", []),
    "mobilenet": ("mobilenetv3_small_050", []),
}
USED = ["swin", "convnext v2", "mobilenet"]


def changes(kind):
    name, options = BACKBONES[kind]
    return {
        "MODEL.BACKBONE.NAME": "D2Timm",
        "MODEL.TIMM.NAME": name,
        "MODEL.TIMM.OPTIONS": options,
        "SOLVER.MAX_ITER": 1,
    }


@pytest.mark.parametrize("kind", USED)
def test_a_timm_backbone_trains_a_step_and_evaluates(kind, shapes, tmp_path, monkeypatch):
    gradients = {}

    class Watched(Trainer):
        def after_step(self):
            gradients.update({n: p.grad for n, p in self.model.named_parameters()})
            super().after_step()

    monkeypatch.setattr(train_net, "Trainer", Watched)
    arguments = command(shapes, tmp_path, **changes(kind))
    results = train_net.main(train_net.parse_args(arguments))
    assert "PQ" in results["panoptic_seg"]
    assert any(name.startswith("backbone.body.") for name in gradients)
    assert [name for name, gradient in gradients.items() if gradient is None] == []

    weights = {"MODEL.WEIGHTS": tmp_path / "model_final.pth"}
    arguments = command(shapes, tmp_path / "again", "--eval-only", **changes(kind), **weights)
    assert train_net.main(train_net.parse_args(arguments)) == results


def test_training_begins_with_local_weights_of_timm(shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    original = timm.create_model("test_convnext2").state_dict()
    torch.save(original, tmp_path / "test_convnext2.pth")
    weights = {"MODEL.WEIGHTS": "timm://test_convnext2", "SOLVER.BASE_LR": 0.0}
    arguments = command(shapes, tmp_path, **changes("convnext v2"), **weights)
    train_net.main(train_net.parse_args(arguments))
    trained = torch.load(tmp_path / "model_final.pth")["model"]
    body = {k.removeprefix("backbone.body."): v for k, v in trained.items() if ".body." in k}
    assert body
    assert all(torch.equal(value, original[name]) for name, value in body.items())


def test_vectors_positions_and_temperatures_are_not_decayed():
    pairs = [str(x) for pair in {**TINY, **changes("swin v2")}.items() for x in pair]
    cfg = load_config(CONFIG, pairs)
    model = build_model(cfg)
    names = {parameter: name for name, parameter in model.backbone.named_parameters()}
    decayed = {
        names[p]: p
        for group in parameter_groups(cfg, model)
        for p in group["params"]
        if group["weight_decay"] > 0 and p in names
    }
    assert all(p.ndim >= 2 and "logit_scale" not in name for name, p in decayed.items())
    assert any("qkv" in name for name in decayed)


def test_the_config_of_the_shapes_builds_its_model_with_drop_path():
    cfg = load_config(CONFIG, ["MODEL.DEVICE", "cpu"])
    backbone = build_backbone(cfg)
    rates = [m.drop_prob for m in backbone.modules() if type(m).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(cfg.MODEL.TIMM.DROP_PATH_RATE)


@torch.no_grad()
def test_batch_norms_for_several_gpus_compute_the_same():
    pairs = [x for pair in changes("mobilenet").items() for x in map(str, pair)]
    plain, shared = (
        build_backbone(load_config(CONFIG, [*pairs, "MODEL.DEVICE", device])).eval()
        for device in ("cpu", "cuda")
    )
    assert any(isinstance(m, nn.SyncBatchNorm) for m in shared.modules())
    shared.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 33, 33)
    torch.testing.assert_close(shared(image)["res5"], plain(image)["res5"])
