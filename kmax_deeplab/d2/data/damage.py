"""Files that a training leaves out: samples say which they met, too many of them end the run."""

import logging
from collections.abc import Iterable, Iterator

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out"
"""Key of a sample: the files that were met on the way to it, {file: why it cannot be used}."""
SHOWN = 10


def counted(batches: Iterable[list[dict]], most: int) -> Iterator[list[dict]]:
    """Yields batches; logs each file that a sample left out, once.

    Args:
        batches: of samples.
        most: number of files that may be left out (DATALOADER.MAX_DAMAGED).

    Raises:
        ValueError: there are more; names them.
    """
    found: dict[str, str] = {}
    for batch in batches:
        for file, reason in [pair for x in batch for pair in x.pop(LEFT_OUT, {}).items()]:
            if file in found:
                continue
            found[file] = reason
            logger.warning("Left out %s: %s. %d files so far.", file, reason, len(found))
            if len(found) > most:
                raise ValueError(
                    f"{len(found)} files of the training set cannot be used, more than "
                    f"DATALOADER.MAX_DAMAGED {most}: {', '.join(list(found)[:SHOWN])}, …; "
                    "datasets/check.py finds all of them"
                )
        yield batch
