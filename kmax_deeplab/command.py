"""A command line: what a script does enters, an exit status leaves.

What this project refuses ends with one sentence and status 1, without a traceback. An error that
nobody foresaw keeps its traceback: it is to be reported.
"""

import linecache
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""
PACKAGE = Path(__file__).parent
OURS = PACKAGE.parent
"""Folder of the project: its scripts, and the package below it."""
FRAME = re.compile(r'^ +File "(?P<file>.+)", line (?P<line>\d+), in .+$', re.MULTILINE)
MESSAGE = re.compile(r"^[\w.]+: (?P<message>.+)", re.MULTILINE | re.DOTALL)
"""A frame and the end of a traceback as text."""
THEIRS = ("site-packages", "dist-packages")
"""Folders of libraries, which may lie below the project's."""


def run(work: Callable[[], int | None]) -> None:
    """Does the work of a script and exits with the status that it returns, if it is not 0.

    A refusal (see `is_refusal`) is said in one sentence, with status 1.
    """
    try:
        status = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # who reads the output has seen enough
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if not is_refusal(error):
            raise
        sys.exit(describe(error))
    if status:
        sys.exit(status)


def is_refusal(error: BaseException) -> bool:
    """Returns whether an error was raised by this project on purpose, or says what a file lacks.

    Errors of libraries, and those that Python raises for an expression of ours, are faults.
    """
    if isinstance(error, OSError):
        return True
    if refused_by_worker(error):
        return True
    return isinstance(error, Exception) and _is_raised_by_us(error.__traceback__)


def refused_by_worker(error: BaseException) -> str:
    """Returns what a process that loads data refused; empty if it is not such an error.

    PyTorch raises anew what such a process raised, with the whole traceback as the message.
    """
    text = str(error)
    frames = list(FRAME.finditer(text)) if text.startswith("Caught ") else []
    if not frames or not _is_our_raise(Path(frames[-1]["file"]), int(frames[-1]["line"])):
        return ""
    message = MESSAGE.search(text, frames[-1].end())
    return message["message"].strip() if message else ""


def describe(error: BaseException) -> str:
    """Returns the message of an error, in which a KeyError has no quotes around it."""
    if refused := refused_by_worker(error):
        return refused
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__


def _is_raised_by_us(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return _is_our_raise(Path(traceback.tb_frame.f_code.co_filename), traceback.tb_lineno)


def _is_our_raise(file: Path, line: int) -> bool:
    is_script = file.is_relative_to(OURS) and not set(THEIRS) & set(file.parts)
    is_ours = is_script or file.is_relative_to(PACKAGE)
    return is_ours and linecache.getline(str(file), line).lstrip().startswith("raise")
