"""`metrics.json` of a run that was interrupted: the file in, the same file without repeats out."""

import json
import os
from pathlib import Path


def forget_metrics_from(path: Path, iteration: int) -> None:
    """Cuts off the lines of a metrics file from an iteration on, and a line broken by a kill.

    A resumed run repeats the iterations after its checkpoint, a new one in the same folder all of
    them. The file is cut in place: a writer that has it open for appending goes on at its new end.

    Args:
        path: one JSON object with "iteration" per line, ascending; it need not exist.
        iteration: first iteration to forget.
    """
    if not path.exists():
        return
    kept = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["iteration"] >= iteration:
                break
            kept += len(line)
    os.truncate(path, kept)
