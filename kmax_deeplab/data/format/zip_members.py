"""What lies in a zip: an archive enters, names, folders and the bytes of single members leave.

Each read opens the archive for itself, as it would open a file in a folder: threads and processes
share no position in it, however they were started. What a process keeps of an archive is where its
members lie; of COCO's 118,287 images that is 30 MB, read in a second or two.
"""

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

MOST_BYTES = 2**30
"""Of a member that is read: more than an image that may be looked at has."""
MOST_KNOWN = 16
"""Archives of which a process remembers where their members lie."""
HEADER, SIGNATURE = 30, b"PK\3\4"
"""Bytes of what stands before a member's name, and how they begin."""
ENCRYPTED = 1
"""Flag of a member."""
BETWEEN = "\0"
"""No name has it."""
AGAIN = "download or copy it again"


class ZipError(OSError):
    """An archive or a member is there but cannot be read; the message names both."""


@dataclass(frozen=True)
class Members:
    """The files in an archive, and where they lie.

    Attributes:
        archive: path of the zip.
        rows: row of each file, by its name.
        entries: (M, 6) int64: offset, stored bytes, bytes, checksum, method, flags.
        folders: names of all folders, the outermost "" among them.
    """

    archive: str
    rows: dict[str, int]
    entries: np.ndarray
    folders: frozenset[str]


@lru_cache(MOST_KNOWN)
def members_of(archive: str, version: tuple[int, ...]) -> Members:
    """Reads what lies in an archive, once for each version of the file.

    Raises:
        ZipError: it is no zip, or not a whole one.
    """
    entries, names = _read_directory(archive)
    rows = {name: row for row, name in enumerate(names.split(BETWEEN)) if len(entries)}
    parents = {name.rpartition("/")[0] for name in rows}
    return Members(archive, rows, entries, frozenset(_with_ancestors(parents)))


def read_member(members: Members, name: str) -> bytes:
    """Reads a file in an archive, all of it, and compares its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        ZipError: it is damaged, too large, encrypted or compressed in a way that is not known here.
    """
    archive, row = members.archive, members.rows.get(name)
    if row is None:
        raise FileNotFoundError(
            f"{archive} holds no {name}: {AGAIN}, or correct the folder that leads into it"
        )
    offset, stored, size, checksum, method, flags = members.entries[row].tolist()
    _require_readable(f"{archive}: member {name}", max(stored, size), method, flags)
    with open(archive, "rb", buffering=0) as file:  # a buffer would copy what is read once
        file.seek(offset)
        header = file.read(HEADER)
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:], "little")
        file.seek(lengths, os.SEEK_CUR)  # over the name, and what writers add to it
        content = file.read(stored)
    if method == zipfile.ZIP_DEFLATED:
        content = _inflate(content, size)
    if header[:4] != SIGNATURE or len(content) != size or zlib.crc32(content) != checksum:
        raise ZipError(f"{archive} is damaged at its member {name}: {AGAIN}")
    return content


def _read_directory(archive: str) -> tuple[np.ndarray, str]:
    """Reads the entries of an archive and their names, as one text.

    Texts of their own would lie among what zipfile notes, and keep twice as much memory from being
    given back.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            files = [entry for entry in file.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise ZipError(f"{archive} is no whole zip ({error}): {AGAIN}") from error
    numbers = (
        number
        for e in files
        for number in (
            *(e.header_offset, e.compress_size, e.file_size),
            *(e.CRC, e.compress_type, e.flag_bits),
        )
    )
    entries = np.fromiter(numbers, np.int64, 6 * len(files)).reshape(-1, 6)
    return entries, BETWEEN.join(entry.filename for entry in files)


def _with_ancestors(folders: Iterable[str]) -> Iterator[str]:
    yield ""
    for folder in folders:
        yield folder
        yield from (str(parent) for parent in PurePosixPath(folder).parents)


def _require_readable(what: str, size: int, method: int, flags: int) -> None:
    if flags & ENCRYPTED or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        kind = "encrypted" if flags & ENCRYPTED else f"compressed by method {method}"
        raise ZipError(
            f"{what} is {kind}: unpack the archive, or write it again, stored or deflated"
        )
    if size > MOST_BYTES:
        raise ZipError(f"{what} has {size} bytes: no image that may be looked at has so many")


def _inflate(content: bytes, size: int) -> bytes:
    """Returns the bytes of a deflated member, at most one too many; none if it is damaged."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    except zlib.error:
        return b""
