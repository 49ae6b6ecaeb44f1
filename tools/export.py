"""Exports a trained model: ONNX for other runtimes, or a program of torch.export.

    python tools/export.py --weights output/mine/model_final.pth --output model.onnx
    python tools/export.py --weights … --output model.onnx --image photo.jpg --half --int8
    python tools/export.py --weights … --output model.pt2 --size 641 641 --batch dynamic

The file takes images resized and padded to one size, the model's own or `--size`, and answers with
logits; it says in its metadata how to use it, which classes it has and how it was made, and
tools/run_onnx.py does so without PyTorch. Its answers and panoptic maps are compared with those of
PyTorch on an image, and nothing is written if they differ. `--half` and `--int8` write further
files, model.half.onnx and model.int8.onnx, whose loss is measured, told and kept inside.

Needs `pip install onnx onnxscript onnxruntime`. The model is named as for tools/predict.py.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from opening import add_model_options, open_predictor

import kmax_deeplab
from kmax_deeplab import command
from kmax_deeplab.data.samples.reading import read_image
from kmax_deeplab.export.network import Traced, resized_inputs, trace
from kmax_deeplab.export.parity import Parity
from kmax_deeplab.export.program_file import write_program
from kmax_deeplab.predict.origin import origin_of

ONNX, PROGRAM = SUFFIXES = (".onnx", ".pt2")
KINDS = ("half", "int8")
"""Of smaller ONNX files."""
OPEN = "dynamic"
"""Word for a batch of any size."""
DRAWN = 256
"""Height and width of the image of the check, if none is given, in pixels."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument("--output", type=Path, required=True, help=" or ".join(SUFFIXES))
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", default="1", help=f'images at a time, or "{OPEN}"; default 1')
    parser.add_argument("--image", type=Path, help="of the check; default: one is drawn")
    parser.add_argument("--half", action="store_true", help="also in float16")
    parser.add_argument("--int8", action="store_true", help="also with weights of 8 bits")
    return parser.parse_args(arguments)


def require_packages() -> None:
    """Raises an ImportError if a package is missing that the project does not install."""
    lacking = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if lacking:
        raise ImportError(f"{', '.join(lacking)}: not installed; pip install {' '.join(lacking)}")


def check_words(args: argparse.Namespace) -> int | None:
    """Returns the batch, None if it is left open.

    Raises:
        ValueError: words of the command line cannot be, or do not fit each other.
    """
    if args.output.suffix not in SUFFIXES:
        raise ValueError(f"--output {args.output} must end with {' or '.join(SUFFIXES)}")
    if args.output.suffix == ONNX:
        require_packages()
    elif args.half or args.int8:
        raise ValueError(f"--half and --int8 are for ONNX: name an --output that ends with {ONNX}")
    if args.batch == OPEN:
        return None
    if not args.batch.isdecimal() or int(args.batch) < 1:
        raise ValueError(f'--batch {args.batch} must be a number from 1, or "{OPEN}"')
    return int(args.batch)


def open_traced(args: argparse.Namespace, batch: int | None, image: np.ndarray) -> Traced:
    """Opens the model for its input size on the CPU and traces it."""
    predict, categories, weights = open_predictor(args)
    model = predict.model.to("cpu")
    model.categories = categories
    predict.inputs = model.inputs = resized_inputs(model.inputs, args.size and tuple(args.size))
    made = {
        "by": f"kmax_deeplab {kmax_deeplab.__version__}, torch {torch.__version__}",
        "from": Path(weights).name,
        "origin": origin_of(model, weights, categories),
    }
    return Traced(trace(model, batch), predict, batch, made, image)


def read_or_draw(path: Path | None) -> np.ndarray:
    """Returns the image of the check, (H, W, 3) uint8 RGB."""
    if path is not None:
        return read_image(path)
    sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
    from shapes_scene import draw

    return draw(np.random.default_rng(0), DRAWN)[0]


def write(traced: Traced, args: argparse.Namespace) -> dict[Path, Parity]:
    """Writes the files; returns how each compares with PyTorch."""
    if args.output.suffix != ONNX:
        return {args.output: write_program(traced, args.output)}
    from kmax_deeplab.export.onnx_models import write_onnx  # needs what is not installed by itself

    return write_onnx(traced, args.output, [kind for kind in KINDS if getattr(args, kind)])


def run(args: argparse.Namespace) -> None:
    """Exports a model and says how near the files are to it."""
    batch = check_words(args)
    traced = open_traced(args, batch, read_or_draw(args.image))
    for path, compared in write(traced, args).items():
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB) against PyTorch: {compared}")


def main(arguments: list[str] | None = None) -> None:
    """Exports, or says why not."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
