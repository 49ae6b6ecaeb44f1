"""Writes a config for a dataset and this machine that trains as it is, each line with its reason.

    python tools/suggest_config.py mine/panoptic            # what datasets/convert.py wrote
    python tools/suggest_config.py --json a.json --images images --pngs pngs --output mine.yaml
    python tools/suggest_config.py --config-file CONFIG.yaml DATASETS.PANOPTIC "[{'name': …}]"

A folder holds dataset.yaml, or train/ and val/ with a panoptic.json and a folder panoptic each, or
these of a single part. Names of registered datasets do as well. Areas and boxes are believed as the
JSON states them: datasets/check.py finds out whether they are true.

Without a GPU the config is that of a small network, and trains for --minutes: an iteration is
measured. With one it is that of the released ResNet-50. Weights are used if they are on this
machine: in the folder that KMAX_WEIGHTS names, or in the cache of Hugging Face's hub.
"""

import argparse
import shlex
import tempfile
from pathlib import Path

from tabulate import tabulate

from kmax_deeplab import command
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.catalog import read_panoptic_json
from kmax_deeplab.d2.data.sources import is_registered, panoptic_source
from kmax_deeplab.d2.engine.opening import TRAIN, Run, fit
from kmax_deeplab.d2.suggest.machine import Machine, find_machine
from kmax_deeplab.d2.suggest.parts import (
    Parts,
    parts_of_config,
    parts_of_folder,
    parts_of_names,
    parts_of_places,
)
from kmax_deeplab.d2.suggest.plan import SIDES_ON_CPU, Choice, Plan, plan, schedule
from kmax_deeplab.d2.suggest.timing import seconds_per_iteration
from kmax_deeplab.d2.suggest.writing import write_config, write_value
from kmax_deeplab.data.check.profile import (
    ClassProfile,
    Profile,
    describe_quantiles,
    join_profiles,
    profile_classes,
    profile_dataset,
)
from kmax_deeplab.data.check.query_count import describe_distribution
from kmax_deeplab.whole_files import write_text

PLACES = ("json", "images", "pngs")
CONFIG, RUN = "config.yaml", "run"
MINUTES = 30
FEW_ITERATIONS = 500
"""Below, hardly a network learns to part things."""
MOST_CLASSES = 6
"""That are told."""
WIDTHS = (None, None, 60)
"""Of the table's columns in characters."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="*", help="a folder, names, or KEY VALUE of --config-file")
    parser.add_argument("--config-file", help="take what its DATASETS name")
    parser.add_argument("--json", help="of a dataset of your own, with --images and --pngs")
    parser.add_argument("--images", type=Path, help="folder of the images, also of a folder's")
    parser.add_argument("--pngs", help="folder of the panoptic PNGs")
    parser.add_argument(
        "--output", type=Path, help=f"the YAML (default: {CONFIG} in the folder, else here)"
    )
    parser.add_argument("--force", action="store_true", help="replace the YAML if it is there")
    parser.add_argument(
        "--minutes", type=float, help=f"that a training takes (default without a GPU: {MINUTES})"
    )
    parser.add_argument(
        "--no-up", action="store_true", help="images have no up and down: mirror both ways"
    )
    args = parser.parse_args(arguments)
    if args.json or args.pngs:
        if not all(getattr(args, place) for place in PLACES) or args.dataset or args.config_file:
            parser.error("--json, --images and --pngs belong together, without other names")
    elif not (args.dataset or args.config_file):
        parser.error("name a dataset's folder, or give --json --images --pngs or a --config-file")
    if args.minutes is not None and not args.minutes > 0:
        parser.error(f"--minutes {args.minutes}: it must be above 0")
    return args


def find_parts(args: argparse.Namespace) -> Parts:
    """Returns the datasets that the command line names."""
    if args.json:
        return parts_of_places(json=args.json, images=str(args.images), pngs=args.pngs)
    if args.config_file:
        return parts_of_config(args.config_file, args.dataset)
    if folder := find_folder(args):
        return parts_of_folder(folder, args.images)
    return parts_of_names(args.dataset)


def find_folder(args: argparse.Namespace) -> Path | None:
    """Returns the folder that the command line names, None if it names something else."""
    is_name = args.dataset and is_registered(args.dataset[0])
    is_folder = len(args.dataset) == 1 and not args.config_file and not is_name
    return Path(args.dataset[0]) if is_folder else None


def find_output(args: argparse.Namespace) -> Path:
    """Returns the path of the YAML.

    Raises:
        ValueError: there is such a file.
    """
    output = args.output or Path(find_folder(args) or ".", CONFIG)
    if output.exists() and not args.force:
        raise ValueError(f"{output}: there is such a file; --force replaces it, or give --output")
    return output.absolute()


def measure(parts: Parts) -> Profile:
    """Reads and measures what is trained on, and says what it is.

    Raises:
        FileNotFoundError, ValueError: a JSON is missing, cannot be relied on or lacks measures.
    """
    profiles = []
    for name in parts.train:
        path = panoptic_source(name).json
        print(f"reading {path}", flush=True)
        try:
            profiles.append(profile_dataset(read_panoptic_json(path, name)))
        except ValueError as error:
            raise ValueError(error if path in str(error) else f"{path}: {error}") from error
    profile = join_profiles(profiles)
    shares = [f"{c.name} {c.share:.0%}" for c in largest_classes(profile)]
    more = len(profile_classes(profile)) - len(shares)
    rows = [
        ("train on", f"{', '.join(parts.train)}: {len(profile.sizes)} images"),
        ("test on", ", ".join(parts.test)),
        ("classes", ", ".join([*shares, *([f"… and {more} more"] if more else [])])),
        ("longer sides", f"of images {describe_quantiles(profile.longest_sides)} pixels"),
        ("", f"of things {describe_quantiles(profile.thing_sides)} pixels"),
        ("segments", f"needed by an image: {describe_distribution(profile.needed)}"),
    ]
    print(f"\n{tabulate(rows, tablefmt='plain')}\n", flush=True)
    return profile


def largest_classes(profile: Profile) -> list[ClassProfile]:
    """Returns the classes with the most pixels."""
    return sorted(profile_classes(profile), key=lambda c: -c.share)[:MOST_CLASSES]


def rehearse(draft: Plan, parts: Parts) -> Run:
    """Opens a config as a training does, which looks at the data too.

    Raises:
        FileNotFoundError, ValueError: what training would refuse.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CONFIG)
        write_text(path, write_config(draft, parts, path.parent, []))
        return fit(load_config(path), TRAIN)


def fill_time(draft: Plan, parts: Parts, machine: Machine, minutes: float) -> tuple[Plan, int]:
    """Measures an iteration and has the plan run as many as fit into a time; returns them too."""
    height, width = draft.value("INPUT.IMAGE_SIZE")
    print(f"measuring an iteration of {height}x{width} pixels: up to a minute or two", flush=True)
    seconds = seconds_per_iteration(rehearse(draft, parts), machine)
    iterations = max(int(60 * minutes / seconds), 1)
    few = "; few: give more --minutes" if iterations < FEW_ITERATIONS else ""
    reason = f"{minutes:g} minutes of training at {seconds:.2f} s each, measured here{few}"
    return draft.changed(schedule(iterations, reason)), iterations


def make_plan(args: argparse.Namespace, parts: Parts, profile: Profile, machine: Machine) -> Plan:
    """Plans, in a smaller input where the time does not suffice for the larger one."""
    drafts = [plan(profile, machine, side, has_up=not args.no_up) for side in SIDES_ON_CPU]
    minutes = args.minutes or (None if machine.gpu else MINUTES)
    if minutes is None:
        rehearse(drafts[0], parts)
        return drafts[0]
    for draft in drafts if drafts[0] != drafts[1] else drafts[:1]:
        filled, iterations = fill_time(draft, parts, machine, minutes)
        if iterations >= FEW_ITERATIONS:
            break
    return filled


def run(args: argparse.Namespace) -> None:
    """Measures, plans, writes and tells."""
    output = find_output(args)
    parts = find_parts(args)
    profile, machine = measure(parts), find_machine()
    draft = make_plan(args, parts, profile, machine)
    folder = output.with_name(RUN) if output.name == CONFIG else output.with_suffix("")
    draft = draft.changed([Choice("OUTPUT_DIR", str(folder), "of the run")])
    command_line = f"python train_net.py --config-file {shlex.quote(str(output))}"
    title = [
        f"For {len(profile.sizes)} images of {', '.join(parts.train)} on {machine}.",
        command_line,
    ]
    write_text(output, write_config(draft, parts, output.parent, title))
    rows = [(c.key, write_value(c.value), c.reason) for c in draft.choices]
    print(tabulate(rows, ("key", "value", "reason"), maxcolwidths=WIDTHS, disable_numparse=True))
    print(f"\n{output}\n\n    {command_line}")


def main(arguments: list[str] | None = None) -> None:
    """Writes what the command line asks for."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
