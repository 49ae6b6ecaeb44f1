"""The folder of one run: settings enter, a folder only a run with these settings may use leaves.

`run.json` in the folder holds the settings. A run with equal settings continues there, any other is
refused, so that two runs never mix.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

STAMP = "run.json"


class OtherRunError(ValueError):
    """A folder belongs to another run; the message says what differs and what to do."""


def claim(folder: Path, settings: dict[str, str], remedy: str) -> None:
    """Makes a folder that of a run with `settings`, or checks that it is.

    Args:
        folder: may be missing.
        settings: everything that decides the outcome of the run, as text.
        remedy: what the user can do about a refusal, the end of the message.

    Raises:
        OtherRunError: the folder holds a run with other settings, or files but no run.
    """
    stamp = folder / STAMP
    if stamp.is_file():
        _compare(folder, json.loads(stamp.read_text(encoding="utf-8")), settings, remedy)
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise OtherRunError(f"{folder} holds files but no run ({STAMP} is missing): {remedy}")
    folder.mkdir(parents=True, exist_ok=True)
    _stamp(folder, settings)


def _compare(folder: Path, before: dict[str, str], now: dict[str, str], remedy: str) -> None:
    changes = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "(none)"), now.get(name, "(none)")
        if old != new:
            changes.append(f"  {name}: {old} there, {new} now")
    if changes:
        listing = "\n".join(changes)
        raise OtherRunError(f"{folder} holds another run:\n{listing}\n{remedy}")


def restart(folder: Path, settings: dict[str, str], written: Iterable[str], remedy: str) -> None:
    """Removes from a run's folder what the run wrote there, nothing else, and claims the folder.

    Args:
        folder: as for `claim`; may hold a run with any settings.
        settings: of the new run.
        written: names of the files and folders that a run writes directly into `folder`.
        remedy: as for `claim`.

    Raises:
        OtherRunError: the folder holds files but no run.
    """
    if not (folder / STAMP).is_file():
        claim(folder, settings, remedy)
        return
    for name in written:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    # Written last: until then the folder counts as the old run's, and a restart can be repeated.
    _stamp(folder, settings)


def _stamp(folder: Path, settings: dict[str, str]) -> None:
    (folder / STAMP).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def flatten(settings: dict, prefix: str = "") -> dict[str, str]:
    """Writes nested settings as dotted names with text values.

    >>> flatten({"SOLVER": {"BASE_LR": 0.1}})
    {'SOLVER.BASE_LR': '0.1'}
    """
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)
    return flat
