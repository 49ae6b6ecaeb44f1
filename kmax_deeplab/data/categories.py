"""The categories of a panoptic dataset.

What enters: the "categories" list of a COCO-panoptic JSON. What leaves: names, colours and kinds in
the order of that list, whose positions are the contiguous class indices 0..K-1 of the network.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


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
            ValueError: the list is empty, an entry lacks a field, or an id occurs twice.
        """
        if not categories:
            raise ValueError("the list of categories is empty: a dataset needs at least one")
        for category in categories:
            if missing := {"id", "name", "isthing"} - category.keys():
                raise ValueError(f"category {dict(category)} lacks {sorted(missing)}")
        ids = tuple(category["id"] for category in categories)
        if len(set(ids)) < len(ids):
            twice = sorted({i for i in ids if ids.count(i) > 1})
            raise ValueError(f"category ids {twice} occur more than once: ids must be distinct")
        return cls(
            ids,
            tuple(category["name"] for category in categories),
            tuple(bool(category["isthing"]) for category in categories),
            tuple(
                tuple(category["color"]) if "color" in category else distinct_color(index)
                for index, category in enumerate(categories)
            ),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def contiguous(self) -> dict[int, int]:
        """Class index of each category id."""
        return {category_id: index for index, category_id in enumerate(self.ids)}


def distinct_color(index: int) -> tuple[int, int, int]:
    """Returns the RGB colour (0..255) of a class whose dataset gives none."""
    golden_ratio = 0.618034  # its multiples spread hues evenly, however many there are
    rgb = colorsys.hsv_to_rgb(index * golden_ratio % 1, 0.75, 0.9)
    return tuple(round(255 * channel) for channel in rgb)
