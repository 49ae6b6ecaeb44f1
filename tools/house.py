"""Counts the house: lines, rooms and what imports what, of this tree or of any commit.

    python tools/house.py                  # the tree as it lies here
    python tools/house.py 0b557fb HEAD     # commits side by side
    python tools/house.py --walk           # through which files a record becomes a sample

A room is a folder of the package, or a file that lies beside the folders. An arrow is a room that
imports another; it runs up if the other one imports it too, directly or over others (a circle).
"""

import argparse
import ast
import contextlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import FrameType

import numpy as np
import torch
from tabulate import tabulate

from kmax_deeplab import command

PACKAGE, EDGE = "kmax_deeplab", "d2"
NAME = rf"{PACKAGE}(\.\w+)+"
ROOT = Path(__file__).resolve().parents[1]
Sources = Mapping[PurePosixPath, str]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="default: the files here")
    parser.add_argument("--rooms", action="store_true", help="list the arrows of the last one")
    parser.add_argument("--walk", action="store_true", help="a record's way to a sample, here")
    return parser.parse_args(arguments)


def read_tree() -> Sources:
    """Returns the Python files below the project's folder by their relative paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": True},
    )
    names = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    return {PurePosixPath(name): (ROOT / name).read_text(encoding="utf-8") for name in names}


def read_commit(commit: str) -> Sources:
    """Returns the Python files of a commit.

    Raises:
        ValueError: there is no such commit.
    """
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if done.returncode:
        raise ValueError(f"{commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = [member for member in archive if member.name.endswith(".py")]
        return {
            PurePosixPath(member.name): archive.extractfile(member).read().decode()
            for member in members
        }


def imported(source: str) -> Iterator[str]:
    """Yields the dotted names of this package that a file imports, or names in a text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(NAME, str(node.value)):
            yield node.value


def room_of(parts: tuple[str, ...], rooms: set[str]) -> str:
    """Returns the room that a path or a dotted name below the package lies in."""
    nested = "/".join(parts[:2])
    return nested if nested in rooms else parts[0] if parts else ""


def find_rooms(sources: Sources) -> dict[str, set[str]]:
    """Returns the rooms of the package, each with the rooms it imports."""
    files = {
        path.relative_to(PACKAGE): s for path, s in sources.items() if path.parts[0] == PACKAGE
    }
    names = {
        "/".join(path.parts[:2]).removesuffix(".py")
        if path.parts[0] in (EDGE, "data")
        else path.parts[0].removesuffix(".py")
        for path in files
        if path.name != "__init__.py"
    }
    arrows: dict[str, set[str]] = {name: set() for name in names}
    for path, source in files.items():
        here = room_of(path.with_suffix("").parts, names)
        for dotted in imported(source):
            if dotted.startswith(f"{PACKAGE}."):
                there = room_of(tuple(dotted.split(".")[1:]), names)
                if here in names and there in names and there != here:
                    arrows[here].add(there)
    return arrows


def reachable(arrows: Mapping[str, set[str]], room: str) -> set[str]:
    """Returns the rooms that a room imports, directly or over others."""
    found, ahead = set(), [room]
    while ahead:
        new = arrows[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def count(sources: Sources) -> dict[str, object]:
    """Counts lines, files, rooms and arrows."""
    arrows = find_rooms(sources)
    edge = {room for room in arrows if room.split("/")[0] == EDGE}
    between = [(a, b) for a in edge for b in arrows[a] if b in edge]
    lines = {path: source.count("\n") for path, source in sources.items()}
    files = {path: n for path, n in lines.items() if path.parts[0] == PACKAGE}
    return {
        "lines of the package": sum(files.values()),
        "files of the package": len(files),
        "lines of scripts": sum(
            n for path, n in lines.items() if path.parts[0] not in (PACKAGE, "tests")
        ),
        "lines of tests": sum(n for path, n in lines.items() if path.parts[0] == "tests"),
        "longest file of the package": max(files.values()),
        "rooms of the edge": len(edge),
        "arrows between them": len(between),
        "circles": sum(room in reachable(arrows, room) for room in arrows),
        "rooms": len(arrows),
        "arrows": sum(map(len, arrows.values())),
        "most files in one folder": max(
            sum(other.parent == path.parent for other in files) for path in files
        ),
    }


def walk() -> list[str]:
    """Makes a training sample and returns the files that the mapper goes through, stay by stay."""
    from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset
    from kmax_deeplab.d2.data import mapper
    from kmax_deeplab.d2.data.catalog import load_panoptic, register_panoptic

    stays, center = ["mapper"], Path(mapper.__file__)

    def watch(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        back = frame.f_back
        while back and back.f_code.co_filename == contextlib.__file__:
            back = back.f_back
        caller = back and Path(back.f_code.co_filename)
        is_step = event == "call" and ROOT in file.parents and center in (file, caller)
        if is_step and stays[-1] != file.stem:
            stays.append(file.stem)

    with tempfile.TemporaryDirectory() as folder:
        generator = torch.Generator().manual_seed(0)
        places = write_synthetic_dataset(Path(folder), 3, (120, 160), generator)
        register_panoptic(folder, **places)
        records = load_panoptic(folder, **places)
        make = mapper.TrainMapper(records, folder, image_size=(129, 129), scale_range=(0.8, 1.2))
        make.draw(records[0], np.random.default_rng(0))
        main, donor = (make.load(record, make.main) for record in records[:2])
        sys.setprofile(watch)
        try:
            make.load(records[0], make.main)
            make.compose(records[0], main, donor, np.random.default_rng(0))
        finally:
            sys.setprofile(None)
    return stays


def run(args: argparse.Namespace) -> None:
    """Prints the table, and the arrows if asked for."""
    if args.walk:
        stays = walk()
        rooms = len(set(stays))
        print(
            f"{' → '.join(stays)}: {len(stays)} stays, {rooms} rooms, {len(stays) - rooms} returns"
        )
        return
    trees = {commit: read_commit(commit) for commit in args.commits} or {"here": read_tree()}
    counted = {name: count(sources) for name, sources in trees.items()}
    rows = [[what, *(c[what] for c in counted.values())] for what in next(iter(counted.values()))]
    print(tabulate(rows, ["", *counted], tablefmt="pipe"))
    if args.rooms:
        for room, others in sorted(find_rooms(list(trees.values())[-1]).items()):
            print(f"{room} → {', '.join(sorted(others)) or '-'}")


def main(arguments: list[str] | None = None) -> None:
    """Counts and prints."""
    args = parse_args(arguments)
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
