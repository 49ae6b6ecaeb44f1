"""Files and folders that are complete or absent: a path enters, a temporary one to write to leaves.

What is written appears under its name at the end, and what was there before stays until then. An
interrupted writer leaves at most a hidden file with `.partial` in its name.
"""

import json
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

PARTIAL = ".partial"
"""Marks what is not complete."""
ABANDONED = 3600.0
"""Seconds without a change after which an incomplete file has no writer any more."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path of the same suffix that becomes `path` if no error occurs.

    Makes the folders that the file lies in.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)  # a process id is not its own on several machines
    partial = path.with_name(f".{path.stem}.{token}{PARTIAL}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class WholeFolder:
    """A folder that is filled under a hidden name and takes its own once it is complete.

    What was there before stays until then. All processes of a run fill the same one.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}{PARTIAL}")

    def clear(self) -> None:
        """Forgets what was filled in, or what an interrupted run left."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def finish(self) -> None:
        """Puts what was filled in into the place of what was there before."""
        self.partial.mkdir(parents=True, exist_ok=True)
        before = self.path.with_name(f".{self.path.name}.before{PARTIAL}")
        if self.path.is_symlink():
            self.path.unlink()  # only the link: the folder it names is someone else's
        elif self.path.exists():
            shutil.rmtree(before, ignore_errors=True)
            self.path.replace(before)
        self.partial.replace(self.path)
        shutil.rmtree(before, ignore_errors=True)


@contextmanager
def whole_text(path: str | Path, newline: str | None = None) -> Iterator[TextIO]:
    """Yields an open UTF-8 text that becomes `path` if no error occurs."""
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", newline=newline) as file:
        yield file


def write_text(path: str | Path, text: str) -> None:
    """Writes a text, in UTF-8, that is never half there."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any, *, indent: int | None = None) -> None:
    """Writes a JSON that is never half there."""
    write_text(path, json.dumps(content, indent=indent))


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Writes (H, W) or (H, W, 3) uint8 pixels as a PNG that is never half there."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")


def is_partial(path: Path) -> bool:
    """Returns whether a path is what an interrupted writer left behind."""
    return path.stem.endswith(PARTIAL)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes those of some files that interrupted writers left, unless they are fresh."""
    for path in paths:
        with suppress(FileNotFoundError):
            is_left = path.name.startswith(".") and is_partial(path) and path.is_file()
            if is_left and time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
