"""Images to predict: paths enter, image files with names of their own leave."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, find_files
from kmax_deeplab.data.format.zips import is_file, is_folder
from kmax_deeplab.whole_files import is_partial


def name_images(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Finds images and names each by its path below the given folder, without suffix.

    Args:
        paths: images of any name, folders and zips that are searched with their subfolders, and
            patterns such as `photos/**/*.jpg`, whose images are named from their first folder
            without a wildcard on.

    Returns:
        Path by name, in order.

    Raises:
        FileNotFoundError: a path does not exist, or a pattern fits no image.
        ValueError: a folder holds no image, or two images have one name.
    """
    named: dict[str, Path] = {}
    for path in map(Path, paths):
        root, found = _find(path)
        depth = len(root.parts)
        for image in found:
            name = "/".join((*image.parts[depth:-1], image.stem))
            if (other := named.setdefault(name, image)) != image:
                raise ValueError(
                    f"{other} and {image} would both be named {name!r}: rename one, or predict "
                    "them one after the other into different folders"
                )
    return named


def _find(path: Path) -> tuple[Path, Iterable[Path]]:
    """Returns the folder from which images are named, and the images."""
    if is_folder(path):
        found = list(find_files([path], IMAGE_SUFFIXES))
        if not found:
            raise ValueError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
        return path, found
    if is_file(path) or path.exists():
        return path.parent, [path]
    if not glob.has_magic(str(path)):
        raise FileNotFoundError(f"{path} does not exist")
    wanted = IMAGE_SUFFIXES | {path.suffix.lower()}
    found = sorted(map(Path, glob.iglob(str(path), recursive=True)))
    found = [p for p in found if p.suffix.lower() in wanted and p.is_file() and not is_partial(p)]
    if not found:
        raise FileNotFoundError(f"{path} fits no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    plain = [not glob.has_magic(part) for part in path.parts[:-1]]
    return Path(*path.parts[: [*plain, False].index(False)]), found


def require_apart(named: dict[str, Path], output: Path) -> None:
    """Refuses to write where images are read from.

    Raises:
        ValueError: an image lies in the output folder.
    """
    output = output.resolve()
    folders = {path.parent: path for path in named.values()}
    for folder, path in folders.items():
        if folder.resolve().is_relative_to(output):
            raise ValueError(f"{path} lies in the folder of the results: choose another --output")
