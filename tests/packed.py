"""A folder written as an archive, as publishers hand datasets out."""

import zipfile
from pathlib import Path


def pack(folder: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """Writes `<folder>.zip`, which holds the folder; returns the folder's place in it."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", method) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    return archive / folder.name


def truncate_archive(archive: Path) -> None:
    """Cuts an archive in two, as a download that broke off leaves it."""
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])


def spoil(archive: Path, content: bytes) -> None:
    """Changes the last byte of what an archive stores, without a trace in its directory."""
    whole = archive.read_bytes()
    end = whole.index(content) + len(content) - 1
    archive.write_bytes(whole[:end] + bytes([whole[end] ^ 255]) + whole[end + 1 :])
