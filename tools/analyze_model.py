"""Tells what a config's network costs, at any size, without computing anything.

    python tools/analyze_model.py --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml
    python tools/analyze_model.py --config-file … --size 641 641 --batch 2 \
        SOLVER.AMP.ENABLED False MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS True

Parameters, multiply-adds of a forward pass, and the activations that a training step keeps for its
backward pass, by room; then the least memory that a training on a GPU takes. In mixed precision
activations are taken to be half as large as in float32. What torch.compile saves is not seen here.
"""

import argparse

from tabulate import tabulate

from kmax_deeplab import command
from kmax_deeplab.benchmark.analysis import Cost
from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.run import merge_config, read_config_file
from kmax_deeplab.d2.engine.measure import analyse_training

STATE_BYTES = 16
"""Of a parameter: itself, its gradient and AdamW's two moments, all in float32."""
HALF_BYTES = 2
"""Of its copy in mixed precision."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=1, help="images a GPU; default 1")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="for the config"
    )
    return parser.parse_args(arguments)


def format_costs(costs: dict[str, Cost]) -> str:
    """Returns a table of rooms and their sum."""
    total = Cost(*(sum(column) for column in zip(*map(_values, costs.values()), strict=True)))
    rows = [
        [name, cost.parameters / 1e6, cost.multiply_adds / 1e9, cost.kept_bytes / 1e9]
        for name, cost in {**costs, "all": total}.items()
    ]
    heads = ["", "parameters, M", "multiply-adds, G", "activations kept, GB"]
    return tabulate(rows, heads, tablefmt="simple", floatfmt=".2f")


def _values(cost: Cost) -> tuple[int, int, int]:
    return cost.parameters, cost.multiply_adds, cost.kept_bytes


def main(arguments: list[str] | None = None) -> None:
    """Prints the table and the memory."""
    args = parse_args(arguments)
    if args.batch < 1:
        raise ValueError(f"--batch {args.batch}: at least one image is needed")
    size = ["INPUT.IMAGE_SIZE", str(args.size)] if args.size else []
    options = [*args.opts, *size]
    cfg = merge_config(read_config_file(args.config_file), args.config_file, options)
    validate(cfg)
    height, width = cfg.INPUT.IMAGE_SIZE
    is_half = cfg.SOLVER.AMP.ENABLED
    costs = {
        room: Cost(
            cost.parameters,
            cost.multiply_adds * args.batch,
            cost.kept_bytes * args.batch // (2 if is_half else 1),
        )
        for room, cost in analyse_training(cfg).items()
    }
    precision = "mixed precision" if is_half else "float32"
    print(f"{args.config_file}: {args.batch} images of {height} × {width}, {precision}\n")
    print(format_costs(costs))
    parameters = sum(cost.parameters for cost in costs.values())
    state = parameters * (STATE_BYTES + HALF_BYTES * is_half)
    kept = sum(cost.kept_bytes for cost in costs.values())
    print(
        f"\nLeast memory of a training: {(state + kept) / 1e9:.1f} GB; {state / 1e9:.1f} of it for "
        "parameters, gradients\nand optimiser; losses and cuDNN's workspace come on top."
    )


if __name__ == "__main__":
    command.run(main)
