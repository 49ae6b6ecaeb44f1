"""Optimizer and learning-rate schedule of the recipe: config and model in, torch objects out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from detectron2.solver.build import maybe_add_gradient_clipping
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    LinearParamScheduler,
    ParamScheduler,
    PolynomialDecayParamScheduler,
)
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORM_TYPES = (_NormBase, nn.LayerNorm, nn.GroupNorm)
UNDECAYED_SUFFIXES = (
    "bias",
    "gamma",
    "rpe.embeddings.weight",
    "cluster_centers.weight",
    "relative_position_bias_table",
    "logit_scale",
)
"""Parameters without weight decay besides norms and vectors: positions, centres, temperatures."""


def parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict]:
    """Splits the trainable parameters by learning rate and weight decay.

    Returns:
        groups with "params", "lr" and "weight_decay", in a fixed order.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            full_name = f"{module_name}.{name}"
            decay = _weight_decay(cfg, full_name, module, parameter)
            key = (_learning_rate(cfg, full_name), decay)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def images_per_step(cfg: CfgNode) -> int:
    """Returns the effective batch: the images of all ranks that a step of the optimiser sees."""
    return cfg.SOLVER.IMS_PER_BATCH * cfg.SOLVER.ACCUMULATE


def base_rate(cfg: CfgNode) -> float:
    """Returns SOLVER.BASE_LR, which is that of SOLVER.REFERENCE_BATCH images, if that is set."""
    reference = cfg.SOLVER.REFERENCE_BATCH
    return cfg.SOLVER.BASE_LR * (images_per_step(cfg) / reference if reference else 1)


def describe_batch(cfg: CfgNode, world_size: int) -> str:
    """Says how many images a step sees, where they are, and how fast is learnt from them."""
    own, parts, rate = cfg.SOLVER.IMS_PER_BATCH // world_size, cfg.SOLVER.ACCUMULATE, base_rate(cfg)
    scaled = f", scaled from {cfg.SOLVER.BASE_LR:g} of {cfg.SOLVER.REFERENCE_BATCH} images"
    return (
        f"Effective batch {images_per_step(cfg)} = {world_size} processes × {own} images × {parts} "
        f"accumulated; learning rate {rate:g}{scaled if cfg.SOLVER.REFERENCE_BATCH else ''}, "
        f"backbone {rate * cfg.SOLVER.BACKBONE_MULTIPLIER:g}"
    )


def _learning_rate(cfg: CfgNode, name: str) -> float:
    factors = {"backbone": cfg.SOLVER.BACKBONE_MULTIPLIER, **dict(cfg.SOLVER.LR_FACTORS)}
    fitting = [part for part in factors if f"{name}.".startswith(f"{part}.")]
    return base_rate(cfg) * (factors[max(fitting, key=len)] if fitting else 1.0)


def require_known_parts(cfg: CfgNode, model: nn.Module) -> None:
    """Refuses SOLVER.LR_FACTORS of parts that the model does not have.

    Raises:
        ValueError: naming the part.
    """
    names = [name for name, _ in model.named_parameters()]
    for part, _ in cfg.SOLVER.LR_FACTORS:
        if not any(f"{name}.".startswith(f"{part}.") for name in names):
            raise ValueError(
                f"SOLVER.LR_FACTORS names {part!r}, which is no part of the model; its parts are "
                f"called like {names[0].rpartition('.')[0]} and {names[-1].rpartition('.')[0]}"
            )


def _weight_decay(cfg: CfgNode, name: str, module: nn.Module, parameter: nn.Parameter) -> float:
    if isinstance(module, NORM_TYPES):
        return cfg.SOLVER.WEIGHT_DECAY_NORM
    if name.endswith("bias") and cfg.SOLVER.WEIGHT_DECAY_BIAS is not None:
        return cfg.SOLVER.WEIGHT_DECAY_BIAS
    if parameter.ndim < 2 or name.endswith(UNDECAYED_SUFFIXES):
        return 0.0
    if isinstance(module, nn.Embedding):
        return cfg.SOLVER.WEIGHT_DECAY_EMBED
    return cfg.SOLVER.WEIGHT_DECAY


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Builds AdamW (or SGD) with the recipe's groups and the configured gradient clipping.

    Raises:
        ValueError: `SOLVER.OPTIMIZER` is unknown.
    """
    clipped = cfg.SOLVER.CLIP_GRADIENTS.ENABLED
    if cfg.SOLVER.OPTIMIZER == "ADAMW":
        # A fused step unscales AMP's gradients itself, after clipping would have seen them.
        kind, settings = torch.optim.AdamW, {"fused": not clipped}
    elif cfg.SOLVER.OPTIMIZER == "SGD":
        kind = torch.optim.SGD
        settings = {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    else:
        raise ValueError(f"SOLVER.OPTIMIZER {cfg.SOLVER.OPTIMIZER!r}: use 'ADAMW' or 'SGD'")
    require_known_parts(cfg, model)
    groups = parameter_groups(cfg, model)
    if not clipped or cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE != "full_model":
        return maybe_add_gradient_clipping(cfg, kind)(groups, base_rate(cfg), **settings)
    optimizer = kind(groups, base_rate(cfg), **settings)
    _clip_full_model(optimizer, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE)
    return optimizer


def _clip_full_model(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Clips the norm of all gradients together before every step."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.register_step_pre_hook(
        lambda *_: torch.nn.utils.clip_grad_norm_(parameters, max_norm) and None
    )


class FlooredPoly(PolynomialDecayParamScheduler):
    """Polynomial decay that ends at a least factor.

    Args:
        power: of the decay.
        floor: least factor.
    """

    def __init__(self, power: float, floor: float) -> None:
        super().__init__(1.0, power)
        self._floor = floor

    def __call__(self, where: float) -> float:
        return max(super().__call__(where), self._floor)


def warmup_poly(
    max_iter: int, warmup_iters: int, *, warmup_factor: float, power: float, floor: float = 0.0
) -> ParamScheduler:
    """Builds TF2WarmupPolyLR: a linear warm-up, then a polynomial decay of the global iteration.

    The decay does not start anew after the warm-up, so the curve drops there.

    Args:
        max_iter: iterations of the whole training.
        warmup_iters: iterations of the warm-up.
        warmup_factor: factor at iteration 0.
        power: of the decay.
        floor: least factor of the decay.
    """
    decay = FlooredPoly(power, floor)
    if warmup_iters == 0:
        return decay
    share = warmup_iters / max_iter
    if share >= 1:  # the warm-up is as steep, and never ends
        return LinearParamScheduler(warmup_factor, warmup_factor + (1 - warmup_factor) / share)
    warmup = LinearParamScheduler(warmup_factor, 1.0)
    return CompositeParamScheduler([warmup, decay], [share, 1 - share], ["rescaled", "fixed"])


def require_same_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Refuses the state of another optimiser, or of one of other parameters.

    Args:
        optimizer: to fill.
        saved: state of one.

    Raises:
        ValueError: it does not fit.
    """
    own, other = optimizer.param_groups, saved["param_groups"]
    if [len(group["params"]) for group in own] != [len(group["params"]) for group in other]:
        raise ValueError(
            "the checkpoint's optimiser has other groups of parameters: other parts were frozen, "
            "or had learning rates or weight decays of their own. Use the settings that the run "
            "began with, or begin anew from its weights (MODEL.WEIGHTS, without --resume)"
        )
    known = {"betas": "ADAMW", "nesterov": "SGD"}
    kinds = [next(known[key] for key in known if key in groups[0]) for groups in (own, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"SOLVER.OPTIMIZER is {kinds[0]}, and the checkpoint's was {kinds[1]}: what it knows "
            "of the gradients means nothing to another one"
        )


@contextmanager
def configured_rates(optimizer: torch.optim.Optimizer, scheduler: LRMultiplier) -> Iterator[None]:
    """Keeps learning rates and weight decays of the config while a checkpoint is loaded.

    A checkpoint holds those of the run that wrote it; the iteration it stands at is taken from it.
    """
    keys = ("initial_lr", "weight_decay")
    configured = [{key: group[key] for key in keys} for group in optimizer.param_groups]
    base_rates = list(scheduler.base_lrs)
    yield
    scheduler.base_lrs = base_rates
    rates = scheduler.get_lr()
    for group, values, rate in zip(optimizer.param_groups, configured, rates, strict=True):
        group.update(values, lr=rate)


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRMultiplier:
    """Builds TF2WarmupPolyLR, or any schedule of Detectron2, by `SOLVER.LR_SCHEDULER_NAME`."""
    if cfg.SOLVER.LR_SCHEDULER_NAME != "TF2WarmupPolyLR":
        return build_detectron2_lr_scheduler(cfg, optimizer)
    schedule = warmup_poly(
        cfg.SOLVER.MAX_ITER,
        cfg.SOLVER.WARMUP_ITERS,
        warmup_factor=cfg.SOLVER.WARMUP_FACTOR,
        power=cfg.SOLVER.POLY_LR_POWER,
        floor=cfg.SOLVER.POLY_LR_CONSTANT_ENDING,
    )
    return LRMultiplier(optimizer, schedule, cfg.SOLVER.MAX_ITER)
