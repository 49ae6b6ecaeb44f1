"""What a run left about itself: its folder enters; dates, duration, command and machine leave."""

import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from kmax_deeplab.revision import find_revision

LOG = "log.txt"
STAMP = re.compile(r"^\[(\d\d/\d\d \d\d:\d\d:\d\d)\]", re.MULTILINE)
COMMAND = re.compile(r"INFO: Command line: (.*)$", re.MULTILINE)
MACHINE = re.compile(r"INFO: (Python .*?; device .*?)(?: \(pid \d+\))?$", re.MULTILINE)
SEED = re.compile(r"Seed of the run: (\d+)")
TRAINED = re.compile(r"Total training time: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")


def facts_of_page(arguments: Sequence[str] | None = None) -> dict[str, str]:
    """Says when, by which command and code and on what machine a page is written.

    Args:
        arguments: of the command line; None: those of this process.
    """
    arguments = sys.argv if arguments is None else arguments
    known = platform.processor() or platform.machine()
    return {
        "written": f"{datetime.now():%Y-%m-%d %H:%M}",
        "command": shlex.join(["python", *arguments]),
        "revision": find_revision(),
        "machine": f"{known}, {os.cpu_count()} CPU cores, Python {platform.python_version()}",
    }


def facts_of_training(folder: Path) -> dict[str, str]:
    """Reads what the log of a training says about it.

    Args:
        folder: of its checkpoints; the log lies there or one above.

    Returns:
        What is found of "training began" (month/day), "training took" (of all its parts), "seed",
        "training command" and "training machine".
    """
    path = next((f / LOG for f in (folder, folder.parent) if (f / LOG).is_file()), None)
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    found = {
        "training began": _first(STAMP.findall(text)),
        "training took": _total(TRAINED.findall(text)),
        "seed": _first(SEED.findall(text)[-1:]),
        "training command": _first(COMMAND.findall(text)[-1:]),
        "training machine": _first(MACHINE.findall(text)[-1:]),
    }
    return {name: value for name, value in found.items() if value}


def _first(found: Sequence[str]) -> str:
    return found[0] if found else ""


def _total(found: Sequence[tuple[str, ...]]) -> str:
    parts = ([int(part or 0) for part in each] for each in found)
    spans = [timedelta(days=d, hours=h, minutes=m, seconds=s) for d, h, m, s in parts]
    return str(sum(spans, timedelta())) if spans else ""
