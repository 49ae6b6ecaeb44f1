"""Images to predict: paths enter, image files with names of their own leave."""

from collections.abc import Sequence
from pathlib import Path

from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, find_files


def name_images(paths: Sequence[Path]) -> dict[str, Path]:
    """Finds images and names each by its path below the given folder, without suffix.

    Args:
        paths: images of any name, and folders that are searched with their subfolders.

    Returns:
        Path by name, in order.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: a folder holds no image, or two images have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        root = path if path.is_dir() else path.parent
        found = list(find_files([path], IMAGE_SUFFIXES)) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
        for image in found:
            name = image.relative_to(root).with_suffix("").as_posix()
            if (other := named.setdefault(name, image)) != image:
                raise ValueError(
                    f"{other} and {image} would both be named {name!r}: rename one, or predict "
                    "them one after the other into different folders"
                )
    return named


def require_apart(named: dict[str, Path], output: Path) -> None:
    """Refuses to write where images are read from.

    Raises:
        ValueError: an image lies in the output folder.
    """
    for path in named.values():
        if path.resolve().is_relative_to(output.resolve()):
            raise ValueError(f"{path} lies in the folder of the results: choose another --output")
