"""Converts ImageNet weights of torchvision's ResNets and of ConvNeXts for our configs.

    python tools/convert_pretrained_backbone.py resnet50-11ad3fa6.pth r50.safetensors
    python tools/convert_pretrained_backbone.py convnext_tiny_22k_1k_384.pth convnext_tiny.pth
    python tools/convert_pretrained_backbone.py timm://convnext_tiny.fb_in22k_ft_in1k_384 out.pkl

Reads ResNet-18 to -152 of torchvision and timm, and ConvNeXts of the official code and timm; the
suffix of the output names its format. Conversion is not needed for training, MODEL.WEIGHTS takes
the originals; it gives a file without classifier that other codes with our names can read.
`MODEL.BACKBONE.NAME D2Timm` reads timm's own files only.
"""

import argparse
from pathlib import Path

from kmax_deeplab import command
from kmax_deeplab.checkpoint.files import read_checkpoint, write_checkpoint
from kmax_deeplab.checkpoint.sources import FAMILIES, recognise, translate
from kmax_deeplab.checkpoint.timm_hub import find_timm_weights

SCHEME = "timm://"


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", help="a file, or timm://NAME")
    parser.add_argument("output", type=Path, help=".pth, .pkl or .safetensors")
    return parser.parse_args(arguments)


def convert(args: argparse.Namespace) -> str:
    """Reads, translates and writes; returns a sentence about it.

    Raises:
        ValueError: the input is none of the known backbones, or is damaged or unsafe.
    """
    is_name = args.input.startswith(SCHEME)
    path = find_timm_weights(args.input.removeprefix(SCHEME)) if is_name else Path(args.input)
    state = read_checkpoint(path)["model"]
    if recognise(state) is None:
        raise ValueError(
            f"{path} is none of {', '.join(source.title for source in FAMILIES)}; its names are "
            f"like {list(state)[:3]}"
        )
    weights = translate(state)
    write_checkpoint(args.output, weights.state)
    return (
        f"{args.output}: {len(weights.state)} entries of a {weights.title}; "
        f"left out: {', '.join(weights.unused) or 'nothing'}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs the conversion."""
    args = parse_args(arguments)
    command.run(lambda: print(convert(args)))


if __name__ == "__main__":
    main()
