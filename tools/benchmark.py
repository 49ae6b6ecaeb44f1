"""Measures a config stage by stage: median time and peak memory, on synthetic inputs.

    python tools/benchmark.py train --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml \
        --size 641 641 --batch 2
    python tools/benchmark.py inference --config-file … --size 1281 1281
    python tools/benchmark.py postprocess --config-file … --size 1024 2048
    python tools/benchmark.py data --config-file …
    python tools/benchmark.py train --config-file … --compare other.yaml (or earlier.json)

`--size` is that of the padded network input, for `postprocess` that of the results. On a CPU, peak
memory is the resident set of this process, PyTorch and its libraries included. `data` reads the
training sets of the config, and synthetic images of 640 × 480 pixels where there are no such files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from kmax_deeplab import command
from kmax_deeplab.benchmark.stages import Row
from kmax_deeplab.benchmark.table import (
    Result,
    describe_environment,
    format_comparison,
    format_result,
)
from kmax_deeplab.d2.config.run import CfgNode
from kmax_deeplab.d2.engine.measure import (
    measure_inference,
    measure_postprocessing,
    measure_training,
)
from kmax_deeplab.d2.engine.measure_data import measure_data
from kmax_deeplab.d2.engine.opening import NO_DATA, open_run
from kmax_deeplab.whole_files import write_json


def read_config(args: argparse.Namespace) -> CfgNode:
    """Loads the config, fits it to this machine and sets the size of the network input."""
    resized = bool(args.size) and args.subcommand != "postprocess"
    size = ["INPUT.IMAGE_SIZE", str(args.size)] if resized else []
    return open_run(args.config_file, [*args.opts, *size], purpose=NO_DATA).cfg


def train(args: argparse.Namespace, cfg: CfgNode) -> tuple[str, list[Row]]:
    """Measures training steps."""
    precision = "mixed precision" if cfg.SOLVER.AMP.ENABLED else "float32"
    batch = args.batch or 2
    rows = measure_training(cfg, batch, args.runs)
    return f"training step, {batch} images of {_pixels(cfg.INPUT.IMAGE_SIZE)}, {precision}", rows


def inference(args: argparse.Namespace, cfg: CfgNode) -> tuple[str, list[Row]]:
    """Measures the network and its post-processing."""
    batch = args.batch or 1
    rows = measure_inference(cfg, batch, args.runs)
    return f"inference, {batch} images of {_pixels(cfg.INPUT.IMAGE_SIZE)}, float32", rows


def postprocess(args: argparse.Namespace, cfg: CfgNode) -> tuple[str, list[Row]]:
    """Measures post-processing alone."""
    size = tuple(args.size or cfg.INPUT.IMAGE_SIZE)
    queries = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES
    return (
        f"post-processing, {queries} queries, results of {_pixels(size)}",
        measure_postprocessing(cfg, size, args.runs),
    )


def data(args: argparse.Namespace, cfg: CfgNode) -> tuple[str, list[Row]]:
    """Measures the making of training samples on one core."""
    images = args.batch or 16
    found = measure_data(cfg, images, args.runs)
    speed = images / found.rows[-1].median
    return (
        f"{images} training samples of {_pixels(cfg.INPUT.IMAGE_SIZE)} from {found.source}, "
        f"on one core: {speed:.1f} images/s",
        found.rows,
    )


SUBCOMMANDS: dict[str, Callable] = {
    function.__name__: function for function in (train, inference, postprocess, data)
}


def _pixels(size: list[int]) -> str:
    return " × ".join(str(side) for side in size)


def measure(args: argparse.Namespace) -> Result:
    """Runs a subcommand in this process."""
    cfg = read_config(args)
    title, rows = SUBCOMMANDS[args.subcommand](args, cfg)
    environment = describe_environment(torch.device(cfg.MODEL.DEVICE))
    return Result(f"{args.config_file}: {title}", environment, rows)


def measure_other(args: argparse.Namespace) -> Result:
    """Reads the result to compare with, or measures that config in a fresh process."""
    if args.compare.endswith(".json"):
        return Result.from_dict(json.loads(Path(args.compare).read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        command = [sys.executable, __file__, args.subcommand, "--config-file", args.compare]
        command += ["--runs", str(args.runs), "--json", str(path)]
        command += ["--batch", str(args.batch)] if args.batch else []
        command += ["--size", *map(str, args.size)] if args.size else []
        subprocess.run([*command, *args.opts], check=True, stdout=subprocess.DEVNULL)
        return Result.from_dict(json.loads(path.read_text(encoding="utf-8")))


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config-file", required=True)
    common.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    common.add_argument("--batch", type=int, help="images; default 2 in train, 16 in data, else 1")
    common.add_argument("--runs", type=int, default=5, help="measured runs, after one to warm up")
    common.add_argument("--json", type=Path, help="where to write the result as JSON")
    common.add_argument("--compare", help="another config, or the JSON of an earlier run")
    common.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="for configs")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True)
    for name, function in SUBCOMMANDS.items():
        subparsers.add_parser(name, parents=[common], help=function.__doc__)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the JSON."""
    args = parse_args(arguments)
    result = measure(args)
    if args.json:
        write_json(args.json, result.to_dict(), indent=1)
    if args.compare:
        print(format_comparison(measure_other(args), result))
    else:
        print(format_result(result))


if __name__ == "__main__":
    command.run(main)
