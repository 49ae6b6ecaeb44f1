"""The categories of a panoptic dataset.

What enters: the "categories" list of a COCO-panoptic JSON, or a small table of classes. What
leaves: names, colours and kinds in the order of that list, whose positions are the contiguous class
indices 0..K-1 of the network.
"""

import colorsys
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kmax_deeplab.data.format.contents import ENCODING, is_flag, is_whole, read_json

FLAGS = {"0": False, "1": True, "false": False, "true": True}
"""How a table may say whether a class is a thing."""
NOT_LISTED = -1
"""Ids from here downwards are those of classes that a dataset does not list."""


@dataclass(frozen=True)
class Categories:
    """What the classes of a dataset are called, one entry per contiguous class index.

    Attributes:
        ids: category ids of the dataset, any distinct integers.
        names: names to show.
        is_thing: whether the class has instances; stuff otherwise.
        colors: RGB, each in 0..255.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    colors: tuple[tuple[int, int, int], ...]

    @classmethod
    def from_json(cls, categories: Sequence[Mapping]) -> "Categories":
        """Reads the "categories" list of a COCO-panoptic JSON; "color" may be missing.

        Raises:
            ValueError: the list is empty, an entry lacks a field or has a colour that is none, or
                an id occurs twice.
        """
        if not categories:
            raise ValueError("the list of categories is empty: a dataset needs at least one")
        for category in categories:
            if missing := {"id", "name", "isthing"} - category.keys():
                raise ValueError(f"category {dict(category)} lacks {sorted(missing)}")
            if not is_whole(category["id"]) or category["id"] < 0:
                raise ValueError(f"category {dict(category)}: the id must be a whole number from 0")
            if not isinstance(category["name"], str):
                raise ValueError(f"category {dict(category)}: the name must be a text")
            if not is_flag(category["isthing"]):
                raise ValueError(
                    f"category {category['id']} ({category['name']!r}) has isthing "
                    f"{category['isthing']!r}: use 0 or 1 (false or true), no text"
                )
        ids = tuple(category["id"] for category in categories)
        if twice := sorted(i for i, count in Counter(ids).items() if count > 1):
            raise ValueError(f"category ids {twice} occur more than once: ids must be distinct")
        return cls(
            ids,
            tuple(category["name"] for category in categories),
            tuple(bool(category["isthing"]) for category in categories),
            tuple(_color(category, index) for index, category in enumerate(categories)),
        )

    def to_json(self) -> list[dict]:
        """Writes the "categories" list of a COCO-panoptic JSON."""
        rows = zip(self.ids, self.names, self.is_thing, self.colors, strict=True)
        return [
            {"id": i, "name": name, "isthing": int(is_thing), "color": list(color)}
            for i, name, is_thing, color in rows
        ]

    def rows(self) -> Iterator[tuple[int, str, bool]]:
        """Yields id, name and whether it is a thing, class by class."""
        return zip(self.ids, self.names, self.is_thing, strict=True)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def contiguous(self) -> dict[int, int]:
        """Class index of each category id."""
        return {category_id: index for index, category_id in enumerate(self.ids)}


def align(dataset: Categories, model: Categories, *, whole: bool = False) -> Categories:
    """Puts the categories of a dataset into the order of a model's classes.

    A category is the class of its name. Ids are the dataset's own and may be others than those that
    the model was trained with. A class that the dataset does not list gets an id below 0, which no
    segment has: it is neither trained nor evaluated on that dataset.

    Args:
        dataset: as its JSON lists them, in any order.
        model: the classes in the order of the model's outputs.
        whole: whether the dataset must list every class.

    Returns:
        As many categories as the model has classes.

    Raises:
        ValueError: the dataset has categories that the model does not know, by other names or as
            the other of thing and stuff; or names occur twice; or, if asked for, lacks some.
    """
    for categories in (dataset, model):
        if twice := sorted(n for n, count in Counter(categories.names).items() if count > 1):
            raise ValueError(f"the names {twice} occur more than once: they tell classes apart")
    _refuse_strangers(dataset, model)
    here = {name: (i, thing) for i, name, thing in dataset.rows()}
    ids = []
    for index, (_, name, is_thing) in enumerate(model.rows()):
        category_id, is_thing_here = here.get(name, (NOT_LISTED - index, is_thing))
        if is_thing_here != is_thing:
            kind = ("stuff", "a thing")
            raise ValueError(
                f"{name!r} is {kind[is_thing_here]} here, and {kind[is_thing]} to the model"
            )
        ids.append(category_id)
    if whole and (lacking := [name for name in model.names if name not in here]):
        raise ValueError(f"it lacks the model's classes {lacking[:10]}")
    return replace(model, ids=tuple(ids))


def _refuse_strangers(dataset: Categories, model: Categories) -> None:
    known = {i: name for i, name, _ in model.rows()}
    strangers = [(i, name) for i, name, _ in dataset.rows() if name not in model.names]
    if strangers:
        listed = ", ".join(
            f"{name!r} (id {i}{f', there {known[i]!r}' if i in known else ''})"
            for i, name in strangers[:5]
        )
        more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
        raise ValueError(
            f"the model has no class {listed}{more}; its classes are {list(model.names[:20])}"
        )


def read_categories(path: str | Path) -> Categories:
    """Reads categories from a file.

    Args:
        path: a JSON, either a list of categories or anything with such a list under "categories";
            or a table with tabs between the columns id, name, isthing (0 or 1) and, if wanted,
            color ("255,0,0").

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or a category cannot be; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this file of categories does not exist")
    try:
        listed = _read_json(path) if path.suffix.lower() == ".json" else _read_table(path)
        return Categories.from_json(listed)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_json(path: Path) -> Sequence[Mapping]:
    content = read_json(path)
    if isinstance(content, Mapping):
        if "categories" not in content:
            raise ValueError('has no list "categories"')
        content = content["categories"]
    return content


def _read_table(path: Path) -> list[dict]:
    with open(path, newline="", encoding=ENCODING) as f:
        rows = csv.DictReader(f, delimiter="\t")
        if missing := {"id", "name", "isthing"} - set(rows.fieldnames or ()):
            raise ValueError(f"lacks the columns {sorted(missing)}; tabs part the columns")
        return [_read_row(row, number) for number, row in enumerate(rows, start=2)]


def _read_row(row: Mapping[str, str], number: int) -> dict:
    if missing := [name for name in ("id", "name", "isthing") if not row[name]]:
        raise ValueError(f"row {number}: lacks {missing}; tabs part the columns")
    if not row["id"].strip().isdecimal():
        raise ValueError(f"row {number}: the id {row['id']!r} is no whole number")
    flag = str(row["isthing"]).strip().lower()
    if flag not in FLAGS:
        raise ValueError(f"class {row['name']!r} has isthing {row['isthing']!r}; use 1 or 0")
    category = {"id": int(row["id"]), "name": row["name"].strip(), "isthing": FLAGS[flag]}
    if row.get("color"):
        category["color"] = [int(channel) for channel in row["color"].split(",")]
    return category


def _color(category: Mapping, index: int) -> tuple[int, int, int]:
    color = category.get("color")
    if color is None:
        return distinct_color(index)
    is_rgb = isinstance(color, list | tuple) and len(color) == 3
    if not is_rgb or not all(is_whole(c) and 0 <= c <= 255 for c in color):
        raise ValueError(
            f"category {category['id']} ({category['name']!r}) has the color {color}: it needs "
            "three integers from 0 to 255"
        )
    return tuple(color)


def distinct_color(index: int) -> tuple[int, int, int]:
    """Returns the RGB colour (0..255) of a class whose dataset gives none."""
    golden_ratio = 0.618034  # its multiples spread hues evenly, however many there are
    rgb = colorsys.hsv_to_rgb(index * golden_ratio % 1, 0.75, 0.9)
    return tuple(round(255 * channel) for channel in rgb)
