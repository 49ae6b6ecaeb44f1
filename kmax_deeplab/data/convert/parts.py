"""Which part of a new dataset an image belongs to: training, validation, test; never two of them.

By fractions, images are put in the order of a hash of the seed and their name, so that the same
images and seed give the same parts on every machine; copies of one file stay together.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kmax_deeplab.data.convert.labels import LabelledImage, Source, read_lines

NAMES = ("train", "val", "test")
"""Of the parts that fractions make."""
WHOLE = ""
"""The part of a dataset that is not divided."""
BLOCK = 2**20
"""Bytes that are read of a file at once."""

Parts = Mapping[str, str]
"""Part of each image, by its `file_name`; an image that is missing belongs to none."""


def assign_parts(source: Source, split: str | None = None, seed: int = 0) -> Parts:
    """Returns the part of every image.

    Args:
        source: the images.
        split: "0.8,0.2" (training, validation and, if there are three, test) or lists of names,
            "train=train.txt,val=val.txt"; None: as the format says, if it does.
        seed: of fractions.

    Raises:
        FileNotFoundError: a list does not exist.
        ValueError: the text is neither, a part would be empty, a list names what is no image, or
            an image, or a copy of it, would be in two parts.
    """
    if split is None:
        return {image.file_name: image.part for image in source.images}
    if source.folder is None:
        raise ValueError("--split looks for copies among the images: name their folder, --images")
    if "=" in split:
        return _by_lists(source, split)
    return _by_fractions(source, _read_fractions(split), seed)


def _read_fractions(text: str) -> dict[str, float]:
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    is_whole = abs(sum(shares) - 1) <= 1e-6  # of "nan" it is not
    if not 2 <= len(shares) <= len(NAMES) or min(shares) <= 0 or not is_whole:
        raise ValueError(
            f"--split {text}: write two or three shares that add up to 1, 0.8,0.2 (training, "
            "validation and test), or lists of names, train=train.txt,val=val.txt"
        )
    return dict(zip(NAMES, shares, strict=False))


def _by_fractions(source: Source, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    groups = group_copies(source.folder, [image.file_name for image in source.images])
    groups.sort(key=lambda names: hashlib.sha256(f"{seed}/{names[0]}".encode()).digest())
    parts: dict[str, str] = {}
    total, end, done, waiting = len(source.images), 0.0, 0, iter(groups)
    for part, share in shares.items():
        end += share
        before = done
        while done < round(end * total) and (names := next(waiting, None)):
            parts.update(dict.fromkeys(names, part))
            done += len(names)
        if done == before:
            raise ValueError(f"--split: of {total} different images none is left for {part}")
    return parts


def group_copies(folder: Path, names: Iterable[str]) -> list[list[str]]:
    """Groups files of one content; those of different sizes in bytes are not read.

    Raises:
        FileNotFoundError: an image does not exist.
    """
    by_size, groups = defaultdict(list), []
    for name in names:
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this image does not exist")
        by_size[path.stat().st_size].append(name)
    for alike in by_size.values():
        by_content = defaultdict(list)
        for name in alike:
            by_content[_digest(folder / name) if len(alike) > 1 else b""].append(name)
        groups += by_content.values()
    return groups


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.digest()


def _by_lists(source: Source, text: str) -> dict[str, str]:
    known = _name_images(source.images)
    parts: dict[str, str] = {}
    for word in text.split(","):
        part, _, place = word.partition("=")
        path = Path(place)
        if not part.isidentifier() or not path.is_file():
            raise FileNotFoundError(f"--split {word}: write part=LIST.txt; is there {place!r}?")
        for line in filter(None, map(str.strip, read_lines(path))):
            if (name := known.get(line)) is None:
                raise ValueError(f"{path}: {line!r} names no image, or several, of {source.folder}")
            if parts.setdefault(name, part) != part:
                raise ValueError(f"{path}: {line!r} is in {parts[name]} as well")
        if part not in parts.values():
            raise ValueError(f"{path} names no image")
    for names in group_copies(source.folder, parts):
        if len({parts[name] for name in names}) > 1:
            raise ValueError(
                f"--split: {names[0]} ({parts[names[0]]}) is the same image as others of "
                f"{[f'{name} ({parts[name]})' for name in names[1:]]}: keep copies together"
            )
    return parts


def _name_images(images: Sequence[LabelledImage]) -> dict[str, str | None]:
    """Returns the image that a line of a list means: its path, with or without folder or suffix."""
    known: dict[str, str | None] = {}
    for image in images:
        path = Path(image.file_name)
        for name in {path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem}:
            known[name] = None if name in known else image.file_name
    return {**known, **{image.file_name: image.file_name for image in images}}
