r"""Tells what a config's network costs, at any size, without computing anything.

    python tools/analyze_model.py --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml
    python tools/analyze_model.py --config-file … --size 641 641 --batch 2 \
        SOLVER.AMP.ENABLED False MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS True

Parameters, multiply-adds of a forward pass, and the activations that a training step keeps for its
backward pass, by room; then the least memory that a training on a GPU takes. In mixed precision
activations are taken to be half as large as in float32. What torch.compile saves is not seen here.
"""

import argparse

from kmax_deeplab import command
from kmax_deeplab.benchmark.analysis import format_costs, least_bytes, scale_costs
from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.run import merge_config, read_config_file
from kmax_deeplab.d2.engine.measure import analyse_training


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
    costs = scale_costs(analyse_training(cfg), args.batch, is_half=is_half)
    precision = "mixed precision" if is_half else "float32"
    print(f"{args.config_file}: {args.batch} images of {height} × {width}, {precision}\n")
    print(format_costs(costs))
    state, least = least_bytes(costs, is_half=is_half)
    print(
        f"\nLeast memory of a training: {least / 1e9:.1f} GB; {state / 1e9:.1f} of it for "
        "parameters, gradients\nand optimiser; losses and cuDNN's workspace come on top."
    )


if __name__ == "__main__":
    command.run(main)
