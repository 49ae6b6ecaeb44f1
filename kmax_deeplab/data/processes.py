"""Processes that share a work: their number enters, a pool leaves."""

import signal
from multiprocessing import Pool
from multiprocessing.pool import Pool as Processes


def open_pool(workers: int) -> Processes:
    """Opens a pool of processes that leave Ctrl-C to the one that waits for them.

    A terminal sends it to all, and each would say with a traceback what it was doing.
    """
    return Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN))
