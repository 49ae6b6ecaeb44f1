"""Windows and macOS: nothing is imported or called that cannot work there."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("kmax_deeplab", "tools", "datasets")
SOURCES = [p for place in PLACES for p in sorted((ROOT / place).rglob("*.py"))]
SOURCES += sorted(ROOT.glob("*.py"))
UNIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}
TEXT_CALLS = {"open": 3, "read_text": 0, "write_text": 1}
"""Calls that need an encoding, and the position at which it could stand."""
NEVER = {"fork", "symlink", "symlink_to", "rename"}
"""Calls that fail on Windows, or that do not replace files there."""


def of_every_file(test):
    return pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))(
        test
    )


@of_every_file
def test_what_only_unix_has_is_imported_where_it_is_used(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
            assert not names & UNIX_ONLY, path


def called(node):
    function = node.func
    return getattr(function, "attr", getattr(function, "id", ""))


def is_binary(node):
    modes = [
        a.value
        for a in [*node.args[:2], *(k.value for k in node.keywords)]
        if isinstance(a, ast.Constant) and isinstance(a.value, str)
    ]
    return any("b" in mode and len(mode) <= 3 for mode in modes)


@of_every_file
def test_text_files_are_read_and_written_in_a_stated_encoding(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or called(node) not in TEXT_CALLS:
            continue
        owner = ast.unparse(node.func)
        opens_text = called(node) != "open" or not (is_binary(node) or "." in owner)
        is_ours = owner == "write_text"  # of whole_files, which states it
        stated = any(keyword.arg == "encoding" for keyword in node.keywords)
        assert stated or is_ours or not opens_text, f"{path}:{node.lineno}: {ast.unparse(node)}"


@of_every_file
def test_files_are_replaced_and_processes_spawned_portably(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in NEVER, f"{path}:{node.lineno}"
