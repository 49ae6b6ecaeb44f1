"""Work in several processes: a function and items enter, results leave in the order of the items.

A `Pool` waits for ever for what a killed process had in hand; where memory ends, one is killed.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import Pool, active_children
from multiprocessing.pool import IMapIterator
from multiprocessing.process import BaseProcess
from typing import Any

PERIOD = 1.0
"""Seconds between two looks whether all processes live."""


def map_processes(function: Callable, items: Sequence, workers: int, chunk: int) -> Iterator[Any]:
    """Applies a function to all items, in this process if there is work for no second one.

    Args:
        function: can be pickled.
        workers: processes at most.
        chunk: items that a process takes at once.

    Raises:
        ValueError: a process was killed.
    """
    workers = min(workers, -(-len(items) // chunk))
    if workers <= 1:
        yield from map(function, items)
        return
    others = active_children()
    with Pool(workers) as pool:
        crew = [process for process in active_children() if process not in others]
        chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
        results = pool.imap(partial(_apply, function), chunks)
        for _ in chunks:
            yield from _wait(results, crew)


def _apply(function: Callable, items: Sequence) -> list[Any]:
    return list(map(function, items))


def _wait(results: IMapIterator, crew: Sequence[BaseProcess]) -> list[Any]:
    """Returns the next result of a pool."""
    while True:
        try:
            return results.next(PERIOD)
        except multiprocessing.TimeoutError:
            if not all(process.is_alive() for process in crew):
                raise ValueError(
                    f"one of {len(crew)} processes was killed, most likely because memory ended: "
                    "start again with fewer --workers; what is done stays"
                ) from None
