"""The folder of a training: who may use it, what lies there already, and where a run goes on.

What enters: the folder and what the user asked for. What leaves: the checkpoint to go on from, or a
refusal before anything is written. An earlier run is never overwritten, and two never share a
folder.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kmax_deeplab import file_lock
from kmax_deeplab.checkpoint.files import read_lazily
from kmax_deeplab.checkpoint.pretrained import WEIGHTS
from kmax_deeplab.whole_files import PARTIAL

LAST = "last_checkpoint"
"""Names the newest checkpoint, as Detectron2 writes it."""
LOCK = ".lock"
CHECKPOINTS = "model_*.pth"
WRITTEN = (
    *(CHECKPOINTS, LAST, "metrics.json", "config.yaml", "log.txt*", "inference", "report.html"),
    "events.out.tfevents.*",
)
"""What a training leaves in its folder."""
FINAL = ("model_final.safetensors", "model_final.pth")
"""What a training is for."""
EARLIER = "earlier"


class OccupiedError(ValueError):
    """A folder belongs to another run; the message says what to do."""


def find_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder, the newest first, whether complete or not."""
    found = [path for path in folder.glob(CHECKPOINTS) if PARTIAL not in path.name]
    return sorted(found, key=lambda path: (path.lstat().st_mtime_ns, path.name), reverse=True)


def require_vacant(folder: Path) -> None:
    """Refuses a folder that holds checkpoints.

    Raises:
        OccupiedError: naming what to do.
    """
    if found := find_checkpoints(folder):
        raise OccupiedError(
            f"{folder} holds {len(found)} checkpoints of an earlier run, e.g. {found[0].name}: "
            "continue it with --resume, start over with --restart (which sets it aside), or choose "
            "another OUTPUT_DIR"
        )


def find_start(folder: Path) -> tuple[Path | None, str]:
    """Finds the checkpoint that a run goes on from.

    Args:
        folder: of the run; may be missing.

    Returns:
        The one that `last_checkpoint` names, or else the newest complete one, or None in a folder
        without checkpoints; and a sentence if it is not the one named.

    Raises:
        ValueError: there are checkpoints, but none is complete.
    """
    others, named, fault = find_checkpoints(folder), None, f"there is no {LAST}"
    if (folder / LAST).is_file():
        name = (folder / LAST).read_text(encoding="utf-8").strip()
        named = folder / name
        fault = f"{LAST} names {name!r}: {_fault(named)}" if name else f"{LAST} is empty"
        if name and not _fault(named):
            return named, ""
    for path in others:
        if not _fault(path):
            return path, f"{folder}: {fault}. Continuing from {path.name}, which is complete."
    if not others and named is None:
        return None, ""
    raise ValueError(
        f"{folder}: {fault}, and there is no other complete checkpoint: start over with --restart"
    )


def weights_in(place: str) -> str:
    """Returns the checkpoint of a folder, that of a run or one that `save_pretrained` wrote.

    Args:
        place: a folder, of whose numbered checkpoints the newest counts if there is no final one;
            anything else stays itself.

    Raises:
        ValueError: the folder has no complete checkpoint.
    """
    folder = Path(place)
    if not place or not folder.is_dir():
        return place
    whole = [folder / name for name in (*FINAL, WEIGHTS)]
    found = next((path for path in whole if path.is_file()), None) or find_start(folder)[0]
    if found is None:
        raise ValueError(f"{folder} holds no checkpoint")
    return str(found)


def _fault(path: Path) -> str:
    """Says why a checkpoint cannot be gone on from; empty if it can."""
    if not path.is_file():
        return "there is no such file"
    if not path.stat().st_size:
        return "the file is empty"
    try:
        content = read_lazily(path)
    except (OSError, ValueError):
        return "the file is damaged or truncated"
    return "" if "trainer" in content else "it holds weights alone, nothing to go on from"


def set_aside(folder: Path) -> Path | None:
    """Moves what an earlier run left into a new folder below; returns that folder, if any."""
    found = [path for pattern in WRITTEN for path in sorted(folder.glob(pattern))]
    if not found:
        return None
    number = 1
    while (target := folder / f"{EARLIER}_{number}").exists():
        number += 1
    target.mkdir()
    for path in found:
        path.replace(target / path.name)
    return target


def sweep(folder: Path) -> None:
    """Removes what a killed training left half written in its folder."""
    for path in folder.glob(f"*{PARTIAL}*"):
        if path.is_file():
            path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a folder for this process until it ends, however it ends.

    Raises:
        OccupiedError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+b") as file:
        if not file_lock.take(file, alone=True):
            raise OccupiedError(
                f"{folder} is in use by another training: wait for it, or choose another OUTPUT_DIR"
            )
        yield


def forget_metrics_from(path: Path, iteration: int) -> None:
    """Cuts off the lines of a metrics file from an iteration on, and a line broken by a kill.

    A resumed run repeats the iterations after its checkpoint, a new one in the same folder all of
    them. The file is cut in place: a writer that has it open for appending goes on at its new end.

    Args:
        path: one JSON object with "iteration" per line, ascending; it need not exist.
        iteration: first iteration to forget. Scores of the model before it stay: they are under
            its number.
    """
    if not path.exists():
        return
    kept = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or _is_repeated(json.loads(line), iteration):
                break
            kept += len(line)
    os.truncate(path, kept)


def has_scores(figures: Mapping[str, object]) -> bool:
    """Returns whether a line of metrics.json is of an evaluation: its names have groups."""
    return any("/" in name for name in figures)


def _is_repeated(figures: Mapping[str, object], iteration: int) -> bool:
    at = figures["iteration"]
    return at > iteration or (at == iteration and not has_scores(figures))
