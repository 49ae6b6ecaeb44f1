"""Work in several processes: a function and items enter, results in the order of items leave."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any


def map_processes(function: Callable, items: Sequence, workers: int, chunk: int) -> Iterator[Any]:
    """Applies a function to all items, in this process if there is work for no second one.

    Ctrl-C, which a terminal sends to all, is left to the process that waits: each would say with a
    traceback what it was doing.

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
    ignore = (signal.SIGINT, signal.SIG_IGN)
    try:
        with ProcessPoolExecutor(workers, initializer=signal.signal, initargs=ignore) as pool:
            yield from pool.map(function, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise ValueError(
            f"one of {workers} processes was killed, most likely because memory ended: start again "
            "with fewer --workers; what is done stays"
        ) from error
