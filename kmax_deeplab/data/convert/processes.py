"""Work in several processes: a function and items enter, results in the order of items leave."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any


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
    try:
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(function, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise ValueError(
            f"one of {workers} processes was killed, most likely because memory ended: start again "
            "with fewer --workers; what is done stays"
        ) from error
