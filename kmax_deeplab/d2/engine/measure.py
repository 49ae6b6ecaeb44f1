"""Benchmarks of a config: a config enters, what a step costs leaves.

No data is read: inputs are synthetic (`benchmark.synthetic`), weights are those of initialisation,
and half of the classes are things.
"""

from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.profiler import record_function

from kmax_deeplab.benchmark import synthetic
from kmax_deeplab.benchmark.analysis import Cost, analyse
from kmax_deeplab.benchmark.profiling import Measurement, measure, rooms
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.d2.engine.solver import build_optimizer
from kmax_deeplab.d2.modeling.settings import class_count, compilation
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.losses import criterion
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory
from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.postprocessing.resize import Geometry

SEED = 0
OUTPUTS = ("panoptic", "semantic", "instance")


def build_benchmark_model(cfg: CfgNode) -> nn.Module:
    """Builds the model of a config for classes that need no dataset, half of them things."""
    torch.manual_seed(SEED)
    if cfg.MODEL.DEVICE == "cpu":
        keep_freed_memory()
    count = class_count(cfg)
    listed = [{"id": i, "name": str(i), "isthing": i < (count + 1) // 2} for i in range(count)]
    return build(cfg, Categories.from_json(listed))


def measure_training(
    cfg: CfgNode, batch: int, runs: int, trace: Path | None = None
) -> list[Measurement]:
    """Measures training steps on one batch: forward, criterion, backward and optimiser.

    Args:
        cfg: its `INPUT.IMAGE_SIZE`, `SOLVER` and model keys are used.
        batch: images per step.
        runs: measured steps.
        trace: where to write a trace of one step.
    """
    model = build_benchmark_model(cfg).train()
    optimizer = build_optimizer(cfg, model)
    images = synthetic.training_batch(
        batch, tuple(cfg.INPUT.IMAGE_SIZE), cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, _generator()
    )
    amp = cfg.SOLVER.AMP
    scaler = torch.amp.GradScaler(model.device.type, enabled=amp.ENABLED and amp.DTYPE == "float16")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(model.device.type, getattr(torch, amp.DTYPE), enabled=amp.ENABLED):
            losses = model(images)
        with record_function("backward"):
            scaler.scale(sum(losses.values())).backward()
        with record_function("optimizer"):
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()

    watched = {
        **_network(model),
        "criterion": (model, "criterion"),
    }
    if not compilation(cfg):
        watched["matching"] = (criterion, "supervise")
    names = (*watched, "backward", "optimizer")
    precision = amp.DTYPE if amp.ENABLED else "float32"
    title = f"training step, {batch} images of {_pixels(cfg.INPUT.IMAGE_SIZE)}, {precision}"
    how = {"images": batch, "device": model.device, "runs": runs, "trace": trace}
    with rooms(watched):
        return [measure(step, title=title + _options(cfg), names=names, **how)]


def measure_inference(
    cfg: CfgNode, batch: int, runs: int, trace: Path | None = None
) -> list[Measurement]:
    """Measures the network and the post-processing of its output, as configured by `TEST`.

    The weights are untrained and hardly a query is confident: for the cost of post-processing
    see `measure_postprocessing`.
    """
    model = build_benchmark_model(cfg).only_predict()
    size = tuple(cfg.INPUT.IMAGE_SIZE)
    images = synthetic.training_batch(batch, size, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, _generator())
    for image in images:  # the size of most of COCO's
        image["height"], image["width"] = 480, 640

    def step() -> None:
        with torch.no_grad():
            model(images)

    watched = {**_network(model), "post-processing": (model, "postprocess")}
    precision = cfg.TEST.AMP.DTYPE if cfg.TEST.AMP.ENABLED else "float32"
    title = f"inference, {batch} images of {_pixels(size)} to 480 × 640, {precision}"
    how = {"images": batch, "device": model.device, "runs": runs, "trace": trace}
    with rooms(watched):
        return [measure(step, title=title + _options(cfg), names=tuple(watched), **how)]


def measure_postprocessing(
    cfg: CfgNode, output: tuple[int, int], runs: int, trace: Path | None = None
) -> list[Measurement]:
    """Measures the post-processing of confident queries, each output alone and all in one go.

    Args:
        cfg: its `INPUT.IMAGE_SIZE`, number of queries, classes and thresholds are used.
        output: (height, width) of the results in pixels.
        runs: measured images.
        trace: where to write a trace of all outputs in one go.
    """
    model = build_benchmark_model(cfg)
    padded = tuple(cfg.INPUT.IMAGE_SIZE)
    grid = tuple(-(-side // synthetic.STRIDE) for side in padded)
    queries = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES
    logits = synthetic.head_outputs(queries, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, grid, _generator())
    logits = [tensor.to(model.device) for tensor in logits]
    geometry = Geometry(padded=padded, image=padded, output=output)
    choices = {name: {other: other == name for other in OUTPUTS} for name in OUTPUTS}
    choices["all outputs"] = dict.fromkeys(OUTPUTS, True)
    return [
        measure(
            partial(model.postprocess, *logits, geometry, **choice),
            title=f"post-processing, {name}, {queries} queries, results of {_pixels(output)}",
            **{"images": 1, "device": model.device, "runs": runs},
            trace=trace if name == "all outputs" else None,
        )
        for name, choice in choices.items()
    ]


def analyse_training(cfg: CfgNode) -> dict[str, Cost]:
    """Counts what an image costs the network in training in float32, computing nothing.

    Args:
        cfg: its `INPUT.IMAGE_SIZE` and model keys are used.
    """
    images = 2  # of one alone, pooled, batch norm would see a single value
    on_meta = cfg.clone()
    on_meta.defrost()
    on_meta.MODEL.DEVICE, on_meta.MODEL.KMAX_DEEPLAB.COMPILE = "meta", ""
    with torch.device("meta"), Undrawn():
        model = build_benchmark_model(on_meta).train()
        batch = torch.zeros(images, 3, *cfg.INPUT.IMAGE_SIZE)
    batch = batch.contiguous(memory_format=model.memory_format)
    costs = analyse(lambda: model.sem_seg_head(model.backbone(batch)), _network(model))
    return {
        room: Cost(cost.parameters, cost.multiply_adds // images, cost.kept_bytes // images)
        for room, cost in costs.items()
    }


def _network(model: nn.Module) -> dict[str, nn.Module]:
    """Names the parts of the network; of a compiled one those that are compiled as a whole."""
    parts = {"backbone": model.backbone, "head": model.sem_seg_head}
    if model.sem_seg_head._compiled_call_impl is None:
        del parts["head"]
        parts["pixel decoder"] = model.sem_seg_head.pixel_decoder
        parts["transformer decoder"] = model.sem_seg_head.predictor
        semantic = model.sem_seg_head.predictor.auxiliary_semantic_predictor
        if semantic is not None:
            parts["auxiliary semantic head"] = semantic
    return parts


def _options(cfg: CfgNode) -> str:
    recomputes, name = cfg.MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS, compilation(cfg)
    compiled = f", compiled by {name}" if name else ""
    return compiled + (", activations recomputed" if recomputes else "")


def _pixels(size: tuple[int, int]) -> str:
    return " × ".join(str(side) for side in size)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
