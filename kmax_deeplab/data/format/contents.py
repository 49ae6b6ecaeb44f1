"""A COCO-panoptic JSON: a path enters, content whose fields have the right types leaves.

Whoever reads such a JSON, to check, train, evaluate or convert, reads it here, by the same rules.
"""

import json
import math
import posixpath
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

ENCODING = "utf-8-sig"
"""Of JSONs and tables: UTF-8, with the mark that Excel and Windows editors put in front or not."""
SUSPECT = "/\\~."
"""What a file name that leads out of its folder begins with, unless it has ".." or ":"."""
MOST_NAMED = 5
"""Faults that an error lists."""


def is_id(value: object) -> bool:
    """Returns whether a value can name an image: a whole number or a text."""
    return is_whole(value) or _is_text(value)


def is_whole(value: object) -> bool:
    """Returns whether a value is a whole number, and no flag."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_flag(value: object) -> bool:
    """Returns whether a value says yes or no: 0, 1, false or true; texts such as "0" do not."""
    return isinstance(value, int) and value in (0, 1)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_size(value: object) -> bool:
    return is_whole(value) and value > 0


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < math.inf


Test = tuple[Callable[[object], bool], str]
ID: Test = (is_id, "a whole number or a text")
WHOLE: Test = (is_whole, "a whole number")
TEXT: Test = (_is_text, "a text")
FLAG: Test = (is_flag, "0 or 1 (false or true), no text")
LIST: Test = (_is_list, "a list")
SIZE: Test = (_is_size, "a whole number of pixels")
NUMBER: Test = (_is_number, "a number from 0")
ANY: Test = (lambda value: True, "anything")


@dataclass(frozen=True)
class Fields:
    """The fields that an object needs and those that it may have, and what they must be."""

    needed: Mapping[str, Test]
    optional: Mapping[str, Test] = field(default_factory=dict)


PANOPTIC = {
    "images": Fields({"id": ID, "file_name": TEXT}, {"height": SIZE, "width": SIZE}),
    "annotations": Fields({"image_id": ID, "file_name": TEXT, "segments_info": LIST}),
    "categories": Fields({"id": WHOLE, "name": TEXT, "isthing": FLAG}),
}
"""The lists of a COCO-panoptic JSON, and what the fields of their entries must be."""
SEGMENT = Fields({"id": WHOLE, "category_id": WHOLE}, {"iscrowd": FLAG})


def read_json(path: str | Path) -> object:
    """Reads any JSON, with or without a byte order mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON; the message names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding=ENCODING))
    except ValueError as error:  # of the text or of its encoding
        raise ValueError(
            f"{path}: not a JSON file ({error}); download or write it again"
        ) from error


def read_panoptic(path: str | Path) -> dict:
    """Reads a COCO-panoptic JSON that can be relied on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see `read_lists`; or an id, a file or a name occurs twice.
    """
    content = read_lists(path, PANOPTIC)
    _refuse(path, [message for _, message in find_repeated(content)])
    return content


def read_lists(path: str | Path, lists: Mapping[str, Fields]) -> dict:
    """Reads a JSON of lists of objects that can be relied on.

    Args:
        path: of the JSON.
        lists: that it must hold, and the fields of their entries.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, lacks a list or a field, a value is of a wrong type, or a file
            name leads out of its folder.
    """
    content = read_json(path)
    _refuse(path, list(find_wrong_types(content, lists)) or list(find_climbing_names(content)))
    return content


def _refuse(path: str | Path, faults: Sequence[str]) -> None:
    if faults:
        lines = "\n  ".join(faults[:MOST_NAMED])
        more = f"\n  … and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise ValueError(f"{path}: {lines}{more}")


def find_wrong_types(content: object, lists: Mapping[str, Fields] = PANOPTIC) -> Iterator[str]:
    """Yields what lacks or has a wrong type, so that nobody can rely on the content."""
    if not isinstance(content, Mapping):
        yield f"holds a {type(content).__name__}, not an object with {list(lists)}"
        return
    if missing := sorted(lists.keys() - content.keys()):
        is_panoptic = any("segments_info" in fields.needed for fields in lists.values())
        kind = "COCO-panoptic" if is_panoptic else "COCO detection"
        yield f"lacks {missing}; is it a {kind} JSON?"
    for name in (name for name in lists if name in content):
        if not isinstance(content[name], list):
            yield f"{name!r} is a {type(content[name]).__name__}, not a list"
            continue
        for position, entry in enumerate(content[name]):
            yield from _wrong_fields(entry, lists[name], f"{name}[{position}]")
            yield from _wrong_segments(entry, f"{name}[{position}]")


def find_repeated(content: Mapping) -> Iterator[tuple[str, str]]:
    """Yields what occurs twice although it tells entries apart: a kind of finding and a sentence.

    Args:
        content: of a COCO-panoptic JSON, without wrong types.
    """
    for key in ("id", "file_name"):
        for value in repeated(_told_apart(image, key) for image in content["images"]):
            yield "duplicate-image", f"several images have the {key} {value!r}"
    for key in ("image_id", "file_name"):
        for value in repeated(_told_apart(entry, key) for entry in content["annotations"]):
            yield "duplicate-annotation", f"several annotations have the {key} {value!r}"
    for name in repeated(category["name"] for category in content["categories"]):
        ids = [category["id"] for category in content["categories"] if category["name"] == name]
        yield (
            "bad-category",
            f"the categories {ids} are all named {name!r}: results are listed by name",
        )
    for entry in content["annotations"]:
        for value in repeated(segment["id"] for segment in entry["segments_info"]):
            where = f"image {entry['image_id']!r} ({entry['file_name']})"
            yield "duplicate-segment", f"{where}: several segments have the id {value}"


def repeated(values: Iterable[Hashable]) -> list[Hashable]:
    """Returns the values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def _told_apart(entry: Mapping, key: str) -> object:
    """Returns a value; names of one file by different ways are alike."""
    return posixpath.normpath(entry[key]) if key == "file_name" else entry[key]


def find_climbing_names(content: Mapping) -> Iterator[str]:
    """Yields the file names that lead out of their folder.

    Args:
        content: without wrong types.
    """
    for name in ("images", "annotations"):
        for entry in content.get(name, ()):
            if leaves_folder(entry.get("file_name", "any")):
                yield (
                    f"{name}: the file_name {entry['file_name']!r} leads out of the folder of its "
                    "files: make it relative to that folder"
                )


def leaves_folder(name: str) -> bool:
    """Returns whether a file name is absolute or climbs out of the folder it is put below.

    >>> [leaves_folder(name) for name in ("a/b.png", "a/../b.png", "../b.png", "/b.png")]
    [False, False, True, True]
    """
    if name and name[0] not in SUSPECT and ".." not in name and ":" not in name:
        return False  # nearly all names; taking apart those of COCO lasts seconds
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or name.startswith("~"):
        return True
    depth = 0
    for part in PureWindowsPath(name).parts:  # which may be parted by either slash
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return depth == 0


def _wrong_segments(entry: object, where: str) -> Iterator[str]:
    segments = entry.get("segments_info") if isinstance(entry, Mapping) else None
    if isinstance(segments, list):
        for index, segment in enumerate(segments):
            yield from _wrong_fields(segment, SEGMENT, f"{where}.segments_info[{index}]")


def _wrong_fields(entry: object, fields: Fields, where: str) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{where} is {_shorten(entry)}, not an object with {list(fields.needed)}"
        return
    if missing := [name for name in fields.needed if name not in entry]:
        yield f"{where} lacks {missing}: {_shorten(entry)}"
    for name, (is_right, wanted) in (*fields.needed.items(), *fields.optional.items()):
        if name in entry and not is_right(entry[name]):
            yield f"{where}: {name} is {_shorten(entry[name])}, it must be {wanted}"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
