"""Locks between processes: an open file enters, whether this process has it now leaves."""

import os
from typing import IO


def take(file: IO[bytes]) -> bool:
    """Locks an open file; the system unlocks it when the file is closed or the process dies."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:  # how Windows says that it is taken
        return os.name != "nt"
    except OSError:  # a file system that knows no locks: better unlocked than not at all
        return True
    return True
