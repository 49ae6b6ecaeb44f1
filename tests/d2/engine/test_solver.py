"""The recipe's optimizer and schedule."""

import math

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from kmax_deeplab.checkpoint.released import from_released
from kmax_deeplab.d2.engine.solver import (
    build_lr_scheduler,
    build_optimizer,
    parameter_groups,
    warmup_poly,
)
from kmax_deeplab.modeling.initial import Undrawn
from tests.d2.config.test_keys import config
from tests.golden import released


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(released.read("manifest.json.gz")))
def test_every_parameter_has_the_released_learning_rate_and_decay(file):
    cfg = config("MODEL.DEVICE", "meta", file=file)
    with torch.device("meta"), Undrawn():
        model = build_model(cfg)
    names = {parameter: name for name, parameter in model.named_parameters()}
    ours = {}
    for group in parameter_groups(cfg, model):
        settings = (pytest.approx(group["lr"]), pytest.approx(group["weight_decay"]))
        ours.update({names[p]: settings for p in group["params"]})
    theirs = {
        from_released(name): tuple(map(float, settings.split("/")))
        for settings, group in released.read("optimizer.json.gz")[file].items()
        for name in group
    }
    assert ours == theirs


def tiny_model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"SOLVER.OPTIMIZER 'LION'.*ADAMW"):
        build_optimizer(config("SOLVER.OPTIMIZER", "LION"), tiny_model())


def test_full_model_clipping_bounds_the_norm_of_all_gradients_together():
    options = ["ENABLED", "True", "CLIP_TYPE", "full_model", "CLIP_VALUE", "0.5"]
    keys = [o if i % 2 else f"SOLVER.CLIP_GRADIENTS.{o}" for i, o in enumerate(options)]
    model = tiny_model()
    optimizer = build_optimizer(config(*keys), model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    optimizer.step()
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert norm == pytest.approx(0.5, rel=1e-4)


def test_the_schedule_warms_up_linearly_and_then_follows_the_polynomial_of_the_whole_run():
    schedule = warmup_poly(1000, 100, warmup_factor=0.001, power=0.9)
    assert schedule(0 / 1000) == pytest.approx(0.001)
    assert schedule(99 / 1000) == pytest.approx(0.001 + 0.999 * 0.99)
    assert schedule(100 / 1000) == pytest.approx(0.9**0.9)
    assert schedule(999 / 1000) == pytest.approx(0.001**0.9)


def test_the_schedule_is_the_released_one():
    curve = released.read("optimizer.json.gz")["lr_curve_1000_warmup100_factor0.001_power0.9"]
    schedule = warmup_poly(1000, 100, warmup_factor=0.001, power=0.9)
    ours = {iteration: schedule(int(iteration) / 1000) for iteration in curve}
    assert ours == pytest.approx(curve, rel=1e-12)


def test_a_warmup_longer_than_the_training_is_as_steep_as_configured():
    schedule = warmup_poly(50, 200, warmup_factor=0.1, power=0.9)
    factors = [schedule(iteration / 50) for iteration in (0, 20, 49)]
    assert factors == pytest.approx([0.1, 0.1 + 0.9 * 20 / 200, 0.1 + 0.9 * 49 / 200])


def test_the_decay_never_falls_below_its_floor():
    schedule = warmup_poly(1000, 0, warmup_factor=0.001, power=0.9, floor=0.1)
    assert schedule(0.999) == 0.1


def test_the_optimizer_gets_the_schedule_of_the_config():
    cfg = config("SOLVER.MAX_ITER", "10", "SOLVER.WARMUP_ITERS", "2", file="_base_/coco.yaml")
    optimizer = build_optimizer(cfg, tiny_model())
    scheduler = build_lr_scheduler(cfg, optimizer)
    factors = []
    for _ in range(4):
        factors.append(optimizer.param_groups[0]["lr"] / cfg.SOLVER.BASE_LR)
        optimizer.step()
        scheduler.step()
    assert factors == pytest.approx([0.001, 0.001 + 0.999 / 2, 0.8**0.9, 0.7**0.9])
