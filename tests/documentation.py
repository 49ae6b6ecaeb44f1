"""What the pages show: their pieces of code, and the words of every command, expanded by bash."""

import re
import subprocess
from pathlib import Path

from tests.scripts import ROOT

PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted((ROOT / "docs").glob("*.md"))]
LAUNCHERS = ("torchrun", "srun")
RECORD = """
PATH=/nowhere
command_not_found_handle() { printf '%s\\0' "$@"; printf '\\n\\0'; }
"""
"""Bash finds no program with it: instead of running, their words are told."""


def blocks(page: Path, language: str) -> list[str]:
    """Returns the pieces of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(script: str) -> list[list[str]]:
    """Returns the words of every program that a piece of bash calls, its name the first."""
    done = subprocess.run(["/bin/bash", "-euc", RECORD + script], capture_output=True, check=True)
    calls, call = [], []
    for word in done.stdout.decode().split("\0")[:-1]:
        if word == "\n":
            calls.append(call)
            call = []
        else:
            call.append(word)
    return calls


def on_page(page: Path) -> list[list[str]]:
    """Returns the words of every command of a page."""
    return commands("\n".join(blocks(page, "bash")))


def without_launcher(words: list[str]) -> list[str]:
    """Returns a command as one process runs it, "python" the first, if it is a program of ours."""
    if words[0] not in LAUNCHERS:
        return words
    rest = words[1:]
    while rest[0].startswith("--"):
        rest = rest[1:]
    return rest if rest[0] == "python" else ["python", *rest]
