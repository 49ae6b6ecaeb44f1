"""Benchmarks of a config: a config enters, stages with their time and memory leave.

No data is read: inputs are synthetic (`benchmark.synthetic`), weights are those of initialisation,
and half of the classes are things.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from detectron2.config import CfgNode
from torch import nn

from kmax_deeplab.benchmark import synthetic
from kmax_deeplab.benchmark.backward import SplitCriterion
from kmax_deeplab.benchmark.stages import TOTAL, Row, Stages
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.d2.engine.solver import build_optimizer
from kmax_deeplab.d2.modeling.settings import class_count
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.losses import criterion
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory
from kmax_deeplab.postprocessing.resize import Geometry

SEED = 0
OUTPUTS = ("panoptic", "semantic", "instance")


def build_benchmark_model(cfg: CfgNode) -> nn.Module:
    """Builds the model of a config for classes that need no dataset, half of them things."""
    torch.manual_seed(SEED)
    count = class_count(cfg)
    listed = [{"id": i, "name": str(i), "isthing": i < (count + 1) // 2} for i in range(count)]
    return build(cfg, Categories.from_json(listed))


def measure_training(cfg: CfgNode, batch: int, runs: int) -> list[Row]:
    """Measures training steps on one batch: forward, criterion, both backward passes, optimiser.

    Args:
        cfg: its `INPUT.IMAGE_SIZE`, `SOLVER` and model keys are used.
        batch: images per step.
        runs: measured steps.
    """
    model = build_benchmark_model(cfg).train()
    device = model.device
    if device.type == "cpu":
        keep_freed_memory()
    optimizer = build_optimizer(cfg, model)
    images = synthetic.training_batch(
        batch, tuple(cfg.INPUT.IMAGE_SIZE), cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, _generator()
    )
    split = model.criterion = SplitCriterion(model.criterion)
    stages = Stages(device)
    _watch_network(stages, model)
    stages.watch_call("criterion", model, "criterion")
    stages.watch_call("matching", criterion, "supervise")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        dtype = getattr(torch, cfg.SOLVER.AMP.DTYPE)
        with torch.autocast(device.type, dtype, enabled=cfg.SOLVER.AMP.ENABLED):
            losses = model(images)
        with stages.stage("criterion backward"):
            split.backward_losses(losses)
        with stages.stage("network backward"):
            split.backward_network()
        with stages.stage("optimizer step"):
            optimizer.step()

    return stages.measure(step, runs)


def measure_inference(cfg: CfgNode, batch: int, runs: int) -> list[Row]:
    """Measures the network and the post-processing of its output, as configured by `TEST`.

    The weights are untrained and hardly a query is confident: for the cost of post-processing
    see `measure_postprocessing`.
    """
    model = build_benchmark_model(cfg).eval()
    size = tuple(cfg.INPUT.IMAGE_SIZE)
    images = synthetic.training_batch(batch, size, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, _generator())
    stages = Stages(model.device)
    _watch_network(stages, model)
    stages.watch_call("post-processing", model, "postprocess")

    def step() -> None:
        with torch.no_grad():
            model(images)

    return stages.measure(step, runs)


def measure_postprocessing(cfg: CfgNode, output: tuple[int, int], runs: int) -> list[Row]:
    """Measures the post-processing of confident queries, each output alone and all in one go.

    Args:
        cfg: its `INPUT.IMAGE_SIZE`, number of queries, classes and thresholds are used.
        output: (height, width) of the results in pixels.
        runs: measured images.
    """
    model = build_benchmark_model(cfg)
    device, process = model.device, model.postprocess
    del model  # its weights should not count
    padded = tuple(cfg.INPUT.IMAGE_SIZE)
    grid = tuple(-(-side // synthetic.STRIDE) for side in padded)
    queries = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES
    logits = synthetic.head_outputs(queries, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, grid, _generator())
    class_logits, mask_logits = (tensor.to(device) for tensor in logits)
    geometry = Geometry(padded=padded, image=padded, output=output)
    image = partial(process, class_logits, mask_logits, geometry)
    rows = []
    for name in OUTPUTS:
        alone = partial(image, **{other: other == name for other in OUTPUTS})
        rows.append(_total(f"{name} alone", alone, device, runs))
    together = partial(image, **dict.fromkeys(OUTPUTS, True))
    return [*rows, _total(TOTAL, together, device, runs)]


def _total(name: str, step: Callable[[], object], device: torch.device, runs: int) -> Row:
    return replace(Stages(device).measure(step, runs)[-1], stage=name)


def _watch_network(stages: Stages, model: nn.Module) -> None:
    stages.watch_module("backbone", model.backbone)
    stages.watch_module("pixel decoder", model.sem_seg_head.pixel_decoder)
    stages.watch_module("transformer decoder", model.sem_seg_head.predictor)
    semantic = model.sem_seg_head.predictor.auxiliary_semantic_predictor
    if semantic is not None:
        stages.watch_module("auxiliary semantic head", semantic)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
