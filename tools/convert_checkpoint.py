"""Converts checkpoints: names, dtype, format; what only a training needs is left out.

    python tools/convert_checkpoint.py kmax_r50.pth ours.safetensors
    python tools/convert_checkpoint.py model_final.pth for_the_released_code.pth --names released
    python tools/convert_checkpoint.py model_final.pth half.safetensors --dtype float16
    python tools/convert_checkpoint.py kmax_r50.pth ours.safetensors \
        --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml

The input may be any whole model that this project reads, released or ours, .pth, .pkl or
.safetensors. The suffix of the output names its format. Ours say which model they are; of others'
models `--config-file` makes the result say so, which then is enough to use it.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmax_deeplab import command
from kmax_deeplab.checkpoint.files import EXTRAS, read_checkpoint, write_checkpoint
from kmax_deeplab.checkpoint.identity import identity_in
from kmax_deeplab.checkpoint.released import to_released
from kmax_deeplab.checkpoint.sources import translate
from kmax_deeplab.data.format.categories import Categories

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path, help=".pth, .pkl or .safetensors")
    parser.add_argument("--names", choices=("ours", "released"), default="ours")
    parser.add_argument("--config-file", type=Path, help="of the model, for who uses the result")
    parser.add_argument("--dtype", choices=DTYPES, help="of floating-point entries")
    return parser.parse_args(arguments)


def cast(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Casts a floating-point entry; counters stay as they are.

    Raises:
        ValueError: a value is too large for the dtype.
    """
    if dtype is None or not value.is_floating_point():
        return value
    result = value.to(dtype)
    if result.isinf().sum() > value.isinf().sum():
        raise ValueError(f"{name} has values too large for {dtype}: use bfloat16 or float32")
    return result


def describe(config_file: Path, categories: Categories | None) -> dict[str, Any]:
    """Returns what the result says of its model.

    Raises:
        FileNotFoundError, ValueError: the config cannot be used, or its classes are not known.
    """
    from kmax_deeplab.d2.engine.opening import identity_of_config, read_config

    return identity_of_config(read_config(config_file), categories).to_json()


def convert(args: argparse.Namespace) -> str:
    """Reads, translates, casts and writes; returns a sentence about it.

    Raises:
        ValueError: the input is not a whole model, or is damaged or unsafe.
    """
    content = read_checkpoint(args.input)
    weights = translate(content.pop("model"))
    if not weights.whole or not any(name.startswith("sem_seg_head.") for name in weights.state):
        raise ValueError(
            f"{args.input} holds no whole model ({weights.title}); backbones are converted by "
            "tools/convert_pretrained_backbone.py"
        )
    dtype = DTYPES[args.dtype] if args.dtype else None
    rename = to_released if args.names == "released" else str
    state = {rename(name): cast(name, v, dtype) for name, v in weights.state.items()}
    if args.config_file:
        content |= describe(args.config_file, identity_in(content, args.input).categories)
    write_checkpoint(args.output, state, content)
    dropped = [str(key) for key in content if key not in EXTRAS]
    left_out = f"; left out: {', '.join(dropped)}" if dropped else ""
    return f"{args.output}: {len(state)} entries, {args.names} names{left_out}"


def main(arguments: list[str] | None = None) -> None:
    """Runs the conversion."""
    args = parse_args(arguments)
    command.run(lambda: print(convert(args)))


if __name__ == "__main__":
    main()
