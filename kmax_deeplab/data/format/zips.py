"""Files that may lie in a zip: a path that leads through an archive enters, the file leaves.

`coco/train2017.zip/train2017/000000000009.jpg` is a file in `coco/train2017.zip`, as if that were a
folder. Whoever opens, looks for or lists images and PNGs of a dataset does it here.
"""

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISREG
from typing import IO

from kmax_deeplab.data.format.zip_members import Members, members_of, read_member

ARCHIVE = re.compile(rf"\.zip(?=[{re.escape(os.sep + (os.altsep or ''))}]|$)", re.IGNORECASE)
"""End of what may be an archive, in a path; a folder may be called so as well."""


def open_file(path: str | Path) -> IO[bytes]:
    """Opens a file, to be read from any position; one in a zip is read at once.

    Raises:
        FileNotFoundError: there is no such file.
        ZipError: the archive or its member is damaged, or cannot be read; the message names both.
    """
    found = _find(path)
    if found is None or not found[1]:
        return open(path, "rb")
    return io.BytesIO(read_member(*found))


def is_file(path: str | Path) -> bool:
    """Returns whether a file exists, in a zip or not.

    Raises:
        ZipError: the archive that the path leads through is damaged.
    """
    found = _find(path)
    if found is None or not found[1]:
        return os.path.isfile(path)
    members, name = found
    return name in members.rows


def is_folder(path: str | Path) -> bool:
    """Returns whether a folder exists, in a zip or not; a zip is one itself.

    Raises:
        ZipError: the archive that the path leads through is damaged.
    """
    found = _find(path)
    if found is None:
        return os.path.isdir(path)
    members, name = found
    return name in members.folders


def list_files(folder: str | Path) -> list[str] | None:
    """Returns the files below a folder of a zip, as paths; None if the folder lies in none.

    Raises:
        ZipError: the archive is damaged.
    """
    found = _find(folder)
    if found is None:
        return None
    members, name = found
    within = f"{name}/" if name else ""
    return [os.path.join(members.archive, n) for n in members.rows if n.startswith(within)]


def stored_in(path: str | Path) -> Path:
    """Returns the file that a path leads to on disk: the archive, if it leads through one."""
    found = _find(path)
    return Path(path if found is None else found[0].archive)


def choose_folder(folder: Path, archives: Iterable[Path], inside: str) -> Path:
    """Returns a folder or, where it does not exist, its place in the first archive that does.

    Args:
        folder: unpacked.
        archives: that may hold it.
        inside: its name in them.
    """
    if folder.is_dir():
        return folder
    return next((archive / inside for archive in archives if archive.is_file()), folder)


def _find(path: str | Path) -> tuple[Members, str] | None:
    """Returns what lies in the archive that a path leads through, and the rest of the path.

    The rest is empty where the path is the archive's own. None: the path leads through no archive.
    """
    text = os.fspath(path)
    for end in (match.end() for match in ARCHIVE.finditer(text)):
        archive, rest = text[:end], text[end + 1 :]
        try:
            status = os.stat(archive)
        except OSError:
            return None
        if S_ISREG(status.st_mode):
            version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
            name = os.path.normpath(rest).replace(os.sep, "/") if rest else ""
            return members_of(archive, version), name
    return None
