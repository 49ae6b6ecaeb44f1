"""What a training will be, before it begins: an opened run enters, a text leaves.

`train_net.py --dry-run` prints it: data, model, least memory, schedule, checkpoints.
"""

from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from tabulate import tabulate

from kmax_deeplab.benchmark.analysis import Cost, format_costs, least_bytes, scale_costs
from kmax_deeplab.d2.engine.measure import analyse_training
from kmax_deeplab.d2.engine.solver import (
    base_rate,
    build_lr_scheduler,
    describe_batch,
    images_per_step,
)

SAVED_BYTES = 12
"""Of a parameter in a checkpoint: itself and AdamW's two moments, in float32."""
GIGABYTE = 1e9


def preview(cfg: CfgNode, world_size: int) -> str:
    """Describes a training.

    Args:
        cfg: of an opened run.
        world_size: number of its processes.
    """
    costs = analyse_training(cfg)
    model, files = _model(cfg, world_size, costs), _files(cfg, costs)
    return "\n\n".join((_data(cfg), model, _schedule(cfg, world_size), files))


def _data(cfg: CfgNode) -> str:
    names = dict.fromkeys(cfg.DATASETS.TRAIN, "train")
    rows = []
    for name in dict.fromkeys((*names, *cfg.DATASETS.TEST)):
        records = DatasetCatalog.get(name)
        counts = [len(record["segments_info"]) for record in records]
        uses = [
            u
            for u, used in (("train", cfg.DATASETS.TRAIN), ("test", cfg.DATASETS.TEST))
            if name in used
        ]
        rows.append([name, " + ".join(uses), len(records), sum(counts) / len(counts), max(counts)])
    heads = ["dataset", "used to", "images", "segments, mean", "most"]
    return tabulate(rows, heads, floatfmt=".1f")


def _model(cfg: CfgNode, world_size: int, costs: Mapping[str, Cost]) -> str:
    images = cfg.SOLVER.IMS_PER_BATCH // world_size
    is_half = cfg.SOLVER.AMP.ENABLED
    costs = scale_costs(costs, images, is_half=is_half)
    _, least = least_bytes(costs, is_half=is_half)
    return (
        f"{format_costs(costs)}\n"
        f"Least memory of a process on {cfg.MODEL.DEVICE} with {images} images of "
        f"{' × '.join(map(str, cfg.INPUT.IMAGE_SIZE))}: {least / GIGABYTE:.1f} GB"
    )


def _schedule(cfg: CfgNode, world_size: int) -> str:
    total, warmup = cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_rate(cfg))
    scheduler = build_lr_scheduler(cfg, optimizer)
    images = sum(len(DatasetCatalog.get(name)) for name in cfg.DATASETS.TRAIN)
    moments = {0, min(warmup, total - 1), total // 4, total // 2, 3 * total // 4, total - 1}
    rows = []
    for iteration in sorted(moments):
        scheduler.last_epoch = iteration
        epoch = iteration * images_per_step(cfg) / images
        rows.append([iteration + 1, f"{epoch:.2f}", f"{scheduler.get_lr()[0]:.3g}"])
    table = tabulate(rows, ["iteration", "epoch", "learning rate"], disable_numparse=True)
    return f"{describe_batch(cfg, world_size)}\n{table}"


def _files(cfg: CfgNode, costs: Mapping[str, Cost]) -> str:
    total, period, most = (
        cfg.SOLVER.MAX_ITER,
        cfg.SOLVER.CHECKPOINT_PERIOD,
        cfg.CHECKPOINTER.MAX_TO_KEEP,
    )
    parameters = sum(cost.parameters for cost in costs.values())
    one = parameters * SAVED_BYTES / GIGABYTE
    kept = min(total // period, most or total) + 1
    evaluations = total // cfg.TEST.EVAL_PERIOD if cfg.TEST.EVAL_PERIOD else 0
    return (
        f"{cfg.OUTPUT_DIR}: {kept} checkpoints of {one:.2f} GB, {kept * one:.1f} GB in all; "
        f"evaluations: {max(evaluations, 1)}"
    )
