"""The data.yaml of a YOLO dataset: classes and folders enter, names and image files leave."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import yaml

from kmax_deeplab.data.convert.labels import read_lines
from kmax_deeplab.data.format.contents import ENCODING, is_whole, repeated
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, find_files

YAMLS, NAMES = ("data.yaml", "dataset.yaml"), "classes.txt"
"""Files of a folder that say its classes."""
PARTS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
"""Keys of the images of each part."""


@dataclass(frozen=True)
class YoloData:
    """A YOLO dataset.

    Attributes:
        names: of the classes, by their numbers.
        images: files of each part.
        notes: sentences on what was left out.
    """

    names: Mapping[int, str]
    images: Mapping[str, Sequence[Path]]
    notes: Sequence[str] = ()


def read_yolo_data(place: Path) -> YoloData:
    """Reads a YAML, or the one of a folder, or a folder's classes.txt.

    Raises:
        FileNotFoundError: there is none, or images that it names do not exist.
        ValueError: it is none, or names no class or no image.
    """
    if not place.is_dir():
        if not place.is_file():
            raise FileNotFoundError(f"{place}: there is no such data.yaml or folder")
        return _read_yaml(place)
    for name in YAMLS:
        if (place / name).is_file():
            return _read_yaml(place / name)
    if not (place / NAMES).is_file():
        raise FileNotFoundError(f"{place} holds neither {YAMLS[0]} nor {NAMES}")
    lines = map(str.strip, read_lines(place / NAMES))
    names = dict(enumerate(filter(None, lines)))
    folder = place / "images"
    images = list(_images_of(folder if folder.is_dir() else place))
    _require(place / NAMES, names, images)
    return YoloData(names, {"": images})


def _require(place: Path, names: Mapping[int, str], images: Sequence[Path]) -> None:
    if not names:
        raise ValueError(f"{place} names no class")
    if twice := repeated(names.values()):
        raise ValueError(f"{place} names the classes {twice} twice: names tell classes apart")
    if not images:
        raise ValueError(f"{place}: there is no image in its folders")


def _read_yaml(path: Path) -> YoloData:
    try:
        content = yaml.safe_load(path.read_text(encoding=ENCODING))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: not a YAML file ({error})") from error
    if not isinstance(content, Mapping) or "names" not in content:
        raise ValueError(f"{path}: lacks 'names', the classes; is it the data.yaml of YOLO?")
    names = _read_names(path, content)
    roots = [path.parent]
    if isinstance(content.get("path"), str):
        roots.insert(0, path.parent / content["path"])
    images: dict[str, list[Path]] = {}
    notes = []
    for part, keys in PARTS.items():
        value = next((content[key] for key in keys if content.get(key)), None)
        try:
            places = [value] if isinstance(value, str) else value or ()
            found = [image for one in places for image in _find_images(path, str(one), roots)]
        except FileNotFoundError as error:
            if part != "test":  # exporters name it whether there is one or not
                raise
            notes.append(f"Left out {part}: {error}.")
            continue
        if found:
            images[part] = found
    _require(path, names, [one for listed in images.values() for one in listed])
    return YoloData(names, images, notes)


def _read_names(path: Path, content: Mapping) -> dict[int, str]:
    names, count = content["names"], content.get("nc")
    if isinstance(names, Sequence) and not isinstance(names, str):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not all(is_whole(i) and i >= 0 for i in names):
        raise ValueError(f"{path}: 'names' must be a list, or names by numbers from 0")
    if count is not None and count != len(names):
        raise ValueError(f"{path}: 'nc' is {count}, but there are {len(names)} names")
    return {number: str(name) for number, name in names.items()}


def _find_images(path: Path, place: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Yields the images of a folder, or of a list of files.

    Args:
        path: of the YAML.
        place: as it stands in the YAML.
        roots: folders that places may be relative to.

    Raises:
        FileNotFoundError: a folder or an image does not exist.
    """
    found = _locate(place, roots)
    if found is None:
        raise FileNotFoundError(
            f"{path} names {place!r}, which does not exist (below {roots[0]}): correct it, or put "
            "the images there"
        )
    if found.is_dir():
        yield from _images_of(found)
        return
    for line in filter(None, map(str.strip, read_lines(found))):
        if (image := _locate(line, [found.parent, *roots])) is None:
            raise FileNotFoundError(f"{found} names {line!r}, which does not exist: put it there")
        yield image


def _images_of(folder: Path) -> Iterator[Path]:
    for path in find_files([folder], IMAGE_SUFFIXES):
        yield Path(os.path.normpath(path))


def _locate(place: str, roots: Sequence[Path]) -> Path | None:
    """Finds what a place means; exporters write a folder too much in front, "../" or "data/"."""
    name = PureWindowsPath(place).as_posix()
    for start in ("", "../", "./", "data/"):
        for root in roots:
            path = Path(os.path.normpath(root / name.removeprefix(start)))
            if path.exists():
                return path
    return None
