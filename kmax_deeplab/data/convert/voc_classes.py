"""The classes of a Pascal VOC folder: its labelmap.txt, a table, or those of VOC itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kmax_deeplab.data.convert.labels import read_lines
from kmax_deeplab.data.format.categories import Categories, read_categories

LABELMAP = "labelmap.txt"
BACKGROUND, IGNORED = "background", "ignored"
"""What is stuff, and what some tools list for the colour of void."""
NAMES = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""Classes of VOC 2007 to 2012 by their numbers."""
VOID = 255
"""Number of pixels that are not labelled."""

Color = tuple[int, int, int]
BLACK: Color = (0, 0, 0)
"""Means "background" where a labelmap.txt does not list it."""


@dataclass(frozen=True)
class VocClasses:
    """The classes and what marks them in the PNGs.

    Attributes:
        categories: their ids are the numbers in grey and palette PNGs.
        colors: category id by RGB colour; VOID by the colour of void.
        is_mapped: whether a labelmap.txt says what the colours of palettes mean.
    """

    categories: Categories
    colors: Mapping[Color, int]
    is_mapped: bool


def voc_color(number: int) -> Color:
    """Returns the colour of a number in VOC's palette: its bits, dealt out to R, G and B in turn.

    >>> voc_color(1), voc_color(15), voc_color(255)
    ((128, 0, 0), (192, 128, 128), (224, 224, 192))
    """
    return tuple(
        sum((number >> 3 * place + channel & 1) << 7 - place for place in range(8))
        for channel in range(3)
    )


def read_voc_classes(root: Path, table: Path | None = None) -> VocClasses:
    """Reads the classes of a folder.

    Args:
        root: that may hold a labelmap.txt.
        table: of classes, which counts instead.

    Raises:
        ValueError: the table or the labelmap.txt cannot be; the message names it.
    """
    if table is not None:
        categories = read_categories(table)
        return VocClasses(categories, _colors({i: voc_color(i) for i in categories.ids}), False)
    if (root / LABELMAP).is_file():
        listed = _read_labelmap(root / LABELMAP)
        if BLACK not in listed.values():
            listed.setdefault(BACKGROUND, BLACK)
        names, colors = list(listed), dict(enumerate(listed.values()))
        meanings = _colors(colors)
        if BLACK not in meanings:
            meanings[BLACK] = names.index(BACKGROUND)
        return VocClasses(_categories(names, colors), meanings, True)
    colors = {number: voc_color(number) for number in range(len(NAMES))}
    return VocClasses(_categories(NAMES, colors), _colors(colors), False)


def _categories(names: Sequence[str], colors: Mapping[int, Color]) -> Categories:
    rows = [
        {"id": i, "name": name, "isthing": int(name != BACKGROUND), "color": list(colors[i])}
        for i, name in enumerate(names)
    ]
    return Categories.from_json(rows)


def _colors(colors: Mapping[int, Color]) -> dict[Color, int]:
    return {voc_color(VOID): VOID, **{color: number for number, color in colors.items()}}


def _read_labelmap(path: Path) -> dict[str, Color]:
    """Reads lines "name:r,g,b:parts:actions"; the class of void's colour is none.

    Where Datumaro knows no colour it writes none, and paints with that of VOC's palette.

    Raises:
        ValueError: a line has another form, or a name or a colour occurs twice.
    """
    found: dict[str, Color] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = (part.strip() for part in line.partition(":"))
        said = rest.partition(":")[0].strip()
        values = said.split(",") if said else list(map(str, voc_color(len(found))))
        values = [value.strip() for value in values]
        is_color = len(values) == 3 and all(v.isdecimal() and int(v) <= 255 for v in values)
        if not name or not is_color or ":" not in line:
            raise ValueError(f"{path}: line {number} is {line!r}; write name:red,green,blue::")
        color = tuple(map(int, values))
        if name in found or color in found.values():
            raise ValueError(f"{path}: line {number}: the name or the colour occurs twice")
        if name != IGNORED or color != voc_color(VOID):
            found[name] = color
    if not found:
        raise ValueError(f"{path} lists no class")
    return found
