"""Locks between processes: an open file enters, whether this process has it now leaves."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PERIOD = 0.05
"""Seconds between two looks whether a lock is free."""


def take(file: IO[bytes], *, alone: bool = False) -> bool:
    """Locks an open file; the system unlocks it when the file is closed or the process dies.

    Args:
        file: open for writing.
        alone: whether the processes that this one starts do not share the lock: loading processes
            outlive one that was killed, by seconds. Then all threads of a process share it, and
            lose it where one of them closes the file.
    """
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            lock = fcntl.lockf if alone else fcntl.flock
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:  # how Windows, and some Unixes for `alone`, say that it is taken
        return os.name != "nt" and not alone
    except OSError:  # a file system that knows no locks: better unlocked than not at all
        return True
    return True


@contextmanager
def hold(path: str | Path, patience: float = 600.0) -> Iterator[None]:
    """Waits for a lock, and has it until the end of the block or of the process, however it ends.

    Args:
        path: of the locked file, which stays.
        patience: seconds to wait at most.

    Raises:
        TimeoutError: another process has it for longer.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        end = time.monotonic() + patience
        while not take(file):
            if time.monotonic() > end:
                raise TimeoutError(f"{path} is held by another process for {patience:.0f} s")
            time.sleep(PERIOD)
        yield
