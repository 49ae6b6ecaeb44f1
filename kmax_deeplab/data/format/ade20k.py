"""The 150 classes of ADE20K's panoptic benchmark, 100 of them things, in the order of their ids."""

import csv
from pathlib import Path

from kmax_deeplab.data.format.categories import Categories

TABLE = Path(__file__).with_name("ade20k.tsv")


def ade20k_categories() -> Categories:
    """Reads the table of classes that comes with this package."""
    with open(TABLE, newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    return Categories(
        ids=tuple(int(row["id"]) for row in rows),
        names=tuple(row["name"] for row in rows),
        is_thing=tuple(row["isthing"] == "1" for row in rows),
        colors=tuple(tuple(int(row[c]) for c in ("red", "green", "blue")) for row in rows),
    )
