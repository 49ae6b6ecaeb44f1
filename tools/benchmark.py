r"""Measures a config on this machine's CPU or GPU, on synthetic inputs.

    python tools/benchmark.py train --config-file configs/coco/panoptic_segmentation/kmax_r50.yaml \
        --size 641 641 --batch 2
    python tools/benchmark.py inference --config-file … --size 1281 1281
    python tools/benchmark.py postprocess --config-file … --size 1024 2048
    python tools/benchmark.py data --config-file … [--workers 16]
    python tools/benchmark.py zips --config-file … [--workers 16]
    python tools/benchmark.py train --config-file … --compare other.yaml (or earlier.json)
    python tools/benchmark.py table first.json second.json …

Median and 95th percentile of the time, peak memory, operators, kernels and waits of a step, and the
time of each room; `--trace` writes one step for chrome://tracing or https://ui.perfetto.dev.
`--size` is that of the padded network input, for `postprocess` that of the results. On a CPU, peak
memory is that of this process so far, PyTorch and its libraries included. `data` reads the training
sets of the config, and synthetic images of 640 × 480 pixels where there are no such files; `zips`
reads them from folders and from archives, one after the other.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from kmax_deeplab import command
from kmax_deeplab.benchmark.profiling import Measurement, format_measurement, format_table
from kmax_deeplab.d2.config.run import CfgNode
from kmax_deeplab.d2.engine.measure import (
    measure_inference,
    measure_postprocessing,
    measure_training,
)
from kmax_deeplab.d2.engine.measure_data import measure_data, measure_zips
from kmax_deeplab.d2.engine.opening import NO_DATA, open_run
from kmax_deeplab.whole_files import write_json


def read_config(args: argparse.Namespace) -> CfgNode:
    """Loads the config, fits it to this machine and sets the size of the network input."""
    resized = bool(args.size) and args.subcommand != "postprocess"
    size = ["INPUT.IMAGE_SIZE", str(args.size)] if resized else []
    return open_run(args.config_file, [*args.opts, *size], purpose=NO_DATA).cfg


def train(args: argparse.Namespace, cfg: CfgNode) -> list[Measurement]:
    """Measures training steps."""
    return measure_training(cfg, args.batch or 2, args.runs, args.trace)


def inference(args: argparse.Namespace, cfg: CfgNode) -> list[Measurement]:
    """Measures the network and its post-processing."""
    return measure_inference(cfg, args.batch or 1, args.runs, args.trace)


def postprocess(args: argparse.Namespace, cfg: CfgNode) -> list[Measurement]:
    """Measures post-processing alone."""
    return measure_postprocessing(
        cfg, tuple(args.size or cfg.INPUT.IMAGE_SIZE), args.runs, args.trace
    )


def data(args: argparse.Namespace, cfg: CfgNode) -> list[Measurement]:
    """Measures the making of training samples, on one core or by several processes."""
    images = args.batch or 16 * max(args.workers, 1)
    return measure_data(cfg, images, args.runs, args.workers, args.trace)


def zips(args: argparse.Namespace, cfg: CfgNode) -> list[Measurement]:
    """Measures the making of training samples from folders and from zips."""
    return measure_zips(cfg, args.batch or 16 * max(args.workers, 1), args.runs, args.workers)


SUBCOMMANDS: dict[str, Callable] = {
    function.__name__: function for function in (train, inference, postprocess, data, zips)
}


def measure(args: argparse.Namespace) -> list[Measurement]:
    """Runs a subcommand in this process."""
    return SUBCOMMANDS[args.subcommand](args, read_config(args))


def measure_other(args: argparse.Namespace) -> list[Measurement]:
    """Reads the results to compare with, or measures that config in a fresh process."""
    if args.compare.endswith(".json"):
        return read_results(args.compare)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        command = [sys.executable, __file__, args.subcommand, "--config-file", args.compare]
        command += ["--runs", str(args.runs), "--json", str(path)]
        command += ["--batch", str(args.batch)] if args.batch else []
        command += ["--workers", str(args.workers)] if args.workers else []
        command += ["--size", *map(str, args.size)] if args.size else []
        subprocess.run([*command, *args.opts], check=True, stdout=subprocess.DEVNULL)
        return read_results(path)


def read_results(path: str | Path) -> list[Measurement]:
    """Reads what `--json` has written."""
    return [Measurement(**value) for value in json.loads(Path(path).read_text(encoding="utf-8"))]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config-file", required=True)
    common.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    common.add_argument(
        "--batch", type=int, help="images; default 2 in train, 16 in data and zips, else 1"
    )
    common.add_argument("--workers", type=int, default=0, help="loading processes of data and zips")
    common.add_argument("--runs", type=int, default=5, help="measured runs, after two to warm up")
    common.add_argument("--json", type=Path, help="where to write the results as JSON")
    common.add_argument("--trace", type=Path, help="where to write a Chrome trace of one run")
    common.add_argument("--compare", help="another config, or the JSON of an earlier run")
    common.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="for configs")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True)
    for name, function in SUBCOMMANDS.items():
        subparsers.add_parser(name, parents=[common], help=function.__doc__)
    table = subparsers.add_parser("table", help="Lists the results that --json has written.")
    table.add_argument("files", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints tables, writes the JSON."""
    args = parse_args(arguments)
    if args.subcommand == "table":
        print(format_table([one for path in args.files for one in read_results(path)]))
        return
    found = measure(args)
    if args.json:
        write_json(args.json, [one.to_dict() for one in found], indent=1)
    others = measure_other(args) if args.compare else [None] * len(found)
    for one, other in zip(found, others, strict=True):
        print(format_measurement(one, other), end="\n\n")


if __name__ == "__main__":
    command.run(main)
