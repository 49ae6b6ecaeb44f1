"""What the preparation scripts share: where datasets lie, unpacking, many processes.

What enters: archives and folders as their publishers hand them out. What leaves: files that are
either complete or absent, so that a script that was interrupted just goes on when started again.
"""

import argparse
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image
from tqdm import tqdm

from kmax_deeplab.data.format.zips import choose_folder, is_file, is_folder
from kmax_deeplab.data.processes import map_processes
from kmax_deeplab.whole_files import whole_file

CHUNK = 16
"""Items that a process takes at once."""


def read_arguments(
    description: str,
    splits: Sequence[str],
    default_root: Path,
    argv: Sequence[str] | None,
    packed: str = "",
) -> argparse.Namespace:
    """Reads the command line that all preparation scripts have.

    Args:
        description: first line of the help.
        splits: names that `--splits` accepts; all of them by default.
        default_root: folder of datasets where neither `--root` nor $DETECTRON2_DATASETS names one.
        argv: words of the command line; None takes those of this process.
        packed: what `--zips` leaves in its archives; empty: there is no such option.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--splits", nargs="+", choices=splits, default=list(splits))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    if packed:
        parser.add_argument("--zips", action="store_true", help=f"leave {packed} in their zips")
    root = Path(os.environ.get("DETECTRON2_DATASETS", default_root))
    parser.add_argument("--root", type=Path, default=root, help=f"folder of datasets ({root})")
    options = parser.parse_args(argv)
    options.root = options.root.expanduser().resolve()
    return options


def coco_folder(coco: Path, name: str) -> Path:
    """Returns where a folder of COCO lies: unpacked or, where it is not, in its archive."""
    return choose_folder(coco / name, coco_archives(coco, f"{name}.zip"), name)


def coco_archives(coco: Path, archive: str) -> tuple[Path, Path]:
    """Returns the places in which an archive of COCO may lie."""
    return coco / archive, coco / "annotations" / archive


def ade20k_folder(ade: Path, name: str) -> Path:
    """Returns where a folder of ADE20K lies: unpacked or, where it is not, in its archive."""
    return choose_folder(ade / name, ade20k_archives(ade, f"{ade.name}.zip"), f"{ade.name}/{name}")


def ade20k_archives(ade: Path, archive: str) -> tuple[Path, Path]:
    """Returns the places in which an archive of ADE20K may lie."""
    return ade.parent / archive, ade / archive


def require(path: Path, remedy: str) -> Path:
    """Returns a path that exists, perhaps in a zip.

    Raises:
        FileNotFoundError: it does not; the message says what to do.
        ZipError: it leads through a damaged archive.
    """
    if not (path.exists() or is_file(path) or is_folder(path)):
        raise FileNotFoundError(f"{path} does not exist; {remedy}")
    return path


def is_image(path: Path) -> bool:
    """Says whether a file is there and all its pixels can be decoded."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):  # the latter is what PIL raises for broken PNGs
        return False
    return True


def map_in_processes(
    function: Callable, items: Sequence, workers: int, description: str
) -> list[Any]:
    """Applies a function to all items under a progress bar; results come in order of the items.

    Args:
        function: can be pickled.
        workers: processes; 1 computes in this one.
    """
    results = map_processes(function, items, workers, CHUNK)
    return list(tqdm(results, description, total=len(items)))


def unpack(archive: Path, folder: Path, prefixes: Iterable[str] = ("",)) -> None:
    """Unpacks a ZIP or TAR archive below a folder; files that are there in full size stay.

    Args:
        prefixes: what the names of the wanted members begin with.

    Raises:
        ValueError: the archive is damaged.
    """
    prefixes = tuple(prefixes)
    try:
        with _open(archive) as (members, read):
            wanted = [(name, size) for name, size in members if name.startswith(prefixes)]
            for name, size in tqdm(wanted, archive.name, disable=not wanted):
                target = folder / name
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise ValueError(f"member {name!r} points out of the folder")
                if not (target.is_file() and target.stat().st_size == size):
                    with read(name) as source, whole_file(target) as part, part.open("wb") as file:
                        shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(f"{archive}: cannot be unpacked ({error}); download it again") from error


@contextmanager
def _open(archive: Path) -> Iterator[tuple[list[tuple[str, int]], Callable[[str], IO[bytes]]]]:
    """Yields names and sizes of an archive's files and a function that opens one by its name."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            entries = [(i.filename, i.file_size) for i in file.infolist() if not i.is_dir()]
            yield entries, file.open
    else:
        with tarfile.open(archive) as file:
            members = {m.name.removeprefix("./"): m for m in file if m.isfile()}
            entries = [(name, member.size) for name, member in members.items()]
            yield entries, lambda name: file.extractfile(members[name])


def unpack_first(places: Iterable[Path], folder: Path, prefixes: Iterable[str] = ("",)) -> bool:
    """Unpacks the first of several archives that exists; says whether there was one."""
    for archive in places:
        if archive.is_file():
            unpack(archive, folder, prefixes)
            return True
    return False
