r"""Converts checkpoints: names, dtype, format; what only a training needs is left out.

    python tools/convert_checkpoint.py kmax_r50.pth ours.safetensors
    python tools/convert_checkpoint.py model_final.pth for_the_released_code.pth --names released
    python tools/convert_checkpoint.py model_final.pth half.safetensors --dtype float16 \
        --predict-only --note data="nuclei, CC0" --note PQ=61.0
    python tools/convert_checkpoint.py kmax_r50.pth ours.safetensors \
        --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml

The input may be any whole model that this project reads, released or ours, .pth, .pkl or
.safetensors. The suffix of the output names its format. Ours say which model they are; of others'
models `--config-file` makes the result say so, which then is enough to use it. `--predict-only`
leaves out the auxiliary semantic head, and of the config the data and paths of the machine that
trained. What `--note` says lies inside the result, beside the notes that the input holds.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from kmax_deeplab import command
from kmax_deeplab.checkpoint.files import EXTRAS, read_checkpoint, write_checkpoint
from kmax_deeplab.checkpoint.identity import Identity, identity_in
from kmax_deeplab.checkpoint.released import to_released
from kmax_deeplab.checkpoint.slim import slim
from kmax_deeplab.checkpoint.sources import translate
from kmax_deeplab.data.format.categories import Categories

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
STATISTICS = ("running_mean", "running_var")
"""Ends of names whose values are few, and as large as the squares of features."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path, help=".pth, .pkl or .safetensors")
    parser.add_argument("--names", choices=("ours", "released"), default="ours")
    parser.add_argument("--config-file", type=Path, help="of the model, for who uses the result")
    parser.add_argument("--dtype", choices=DTYPES, help="of weights")
    parser.add_argument("--predict-only", action="store_true", help="no training can go on from it")
    parser.add_argument("--note", type=note, action="append", default=[], metavar="TITLE=TEXT")
    return parser.parse_args(arguments)


def note(text: str) -> tuple[str, str]:
    """Reads a note on where a model comes from.

    Raises:
        argparse.ArgumentTypeError: it has no title, or no text.
    """
    title, _, said = (part.strip() for part in text.partition("="))
    if not title or not said:
        raise argparse.ArgumentTypeError(f"{text!r} must be TITLE=TEXT, for instance data=nuclei")
    return title, said


def cast(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Casts a floating-point entry; counters and statistics of norms stay as they are.

    Raises:
        ValueError: a value is too large for the dtype.
    """
    if dtype is None or not value.is_floating_point() or name.endswith(STATISTICS):
        return value
    result = value.to(dtype)
    if result.isinf().sum() > value.isinf().sum():
        raise ValueError(f"{name} has values too large for {dtype}: use bfloat16 or float32")
    return result


def describe(config_file: Path, categories: Categories | None) -> Identity:
    """Returns what the result says of its model.

    Raises:
        FileNotFoundError, ValueError: the config cannot be used, or its classes are not known.
    """
    from kmax_deeplab.d2.engine.opening import identity_of_config, read_config

    return identity_of_config(read_config(config_file), categories)


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
    state, known = weights.state, identity_in(content, args.input)
    if args.config_file:
        described = describe(args.config_file, known.categories)
        known = replace(described, provenance=known.provenance)
    if args.predict_only:
        state, known = slim(state, known)
    if args.note:
        known = replace(known, provenance={**(known.provenance or {}), **dict(args.note)})
    if args.config_file or args.predict_only or args.note:
        content |= known.to_json()
    dtype = DTYPES[args.dtype] if args.dtype else None
    rename = to_released if args.names == "released" else str
    cast_state = {rename(name): cast(name, v, dtype) for name, v in state.items()}
    write_checkpoint(args.output, cast_state, content)
    dropped = [str(key) for key in content if key not in EXTRAS]
    left_out = f"; left out: {', '.join(dropped)}" if dropped else ""
    return f"{args.output}: {len(state)} entries, {args.names} names{left_out}"


def main(arguments: list[str] | None = None) -> None:
    """Runs the conversion."""
    args = parse_args(arguments)
    command.run(lambda: print(convert(args)))


if __name__ == "__main__":
    main()
