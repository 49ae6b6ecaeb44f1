"""Who may import whom: a table of rooms, checked by reading every import of the core."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kmax_deeplab"

ROOMS = {
    "__init__": {"checkpoint", "d2", "predict"},  # hands out their names when asked for
    "values": set(),
    "structures": {"values"},
    "noise": set(),
    "revision": set(),
    "run_stamp": set(),
    "run_folder": {"checkpoint", "file_lock", "whole_files"},
    "command": set(),
    "file_lock": set(),
    "whole_files": set(),
    "modeling": {"noise", "structures"},
    "losses": {"noise", "structures"},
    "postprocessing": {"structures", "values"},
    "metrics": {"structures", "data"},
    "data": {"file_lock", "structures", "values", "whole_files"},
    "model": {"data", "modeling", "noise", "postprocessing", "structures", "values"},
    "checkpoint": {"data", "model", "whole_files"},
    "predict": {
        *("checkpoint", "data", "file_lock", "model", "modeling", "postprocessing", "structures"),
        *("visualize", "whole_files"),
    },
    "runtime": {"data", "model", "postprocessing", "predict", "values"},
    "export": {"data", "model", "predict", "runtime", "whole_files"},
    "visualize": {
        *("structures", "data", "postprocessing", "metrics", "revision", "whole_files"),
    },
    "benchmark": {"structures", "data"},
}
"""Room of the core: the other rooms it may import. The edge, `d2`, may import them all."""

BY_NAME = re.compile(rf"{PACKAGE.name}(\.\w+)+")
"""A module of the package in a text, to be imported by its name."""
LIBRARIES = {"torch", "numpy", "scipy", "timm"}
EXTRA_LIBRARIES = {
    "benchmark": {"PIL", "tabulate"},
    "checkpoint": {
        *("fvcore", "huggingface_hub", "iopath", "safetensors", "tabulate", "tensorflow", "yaml"),
    },
    "data": {"PIL", "pycocotools", "tqdm", "yaml"},
    "export": {"onnx", "onnx_ir", "onnxruntime", "onnxscript"},
    "metrics": {"PIL", "panopticapi"},
    "predict": {
        *("PIL", "cv2", "fiftyone", "huggingface_hub", "pycocotools", "supervision", "tqdm"),
    },
    "runtime": {"onnxruntime"},
    "visualize": {"PIL", "matplotlib", "tqdm"},
    "whole_files": {"PIL"},
}
"""Libraries of the core, and what single rooms need besides to read and write files."""


def imported(path: Path) -> Iterator[str]:
    """Yields the dotted names of modules that a file imports or names in a text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute in this package"
            names = (alias.name for alias in node.names)
            yield from (f"{node.module}.{name}" for name in names)
        elif isinstance(node, ast.Constant) and BY_NAME.fullmatch(str(node.value)):
            yield node.value


def room_of(dotted: str) -> str:
    """Returns the room that `kmax_deeplab.room.file.name` lies in."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def core_files() -> list[Path]:
    """Returns the source files of all rooms but the edge."""
    edge = PACKAGE / "d2"
    return [path for path in sorted(PACKAGE.rglob("*.py")) if edge not in path.parents]


def scripts() -> list[Path]:
    """Returns the files of all command lines."""
    return sorted([*ROOT.glob("*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("datasets/*.py")])


def test_every_room_of_the_core_is_in_the_table():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in core_files()}
    assert rooms <= ROOMS.keys()


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_core_file_imports_only_the_rooms_and_libraries_of_its_room(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    libraries = LIBRARIES | EXTRA_LIBRARIES.get(room, set()) | sys.stdlib_module_names
    for name in imported(path):
        if name.split(".")[0] == PACKAGE.name:
            assert room_of(name) in ROOMS[room] | {room}, f"{room} must not import {name}"
        else:
            assert name.split(".")[0] in libraries, f"{room} must not import {name}"


@pytest.mark.parametrize("path", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_leaves_detectron2_to_the_edge_which_silences_its_warnings(path):
    assert not [name for name in imported(path) if name.split(".")[0] == "detectron2"]


@pytest.mark.parametrize("path", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_help_of_a_script_breaks_its_commands_where_the_file_does(path):
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    assert max(map(len, words.splitlines())) <= 100
