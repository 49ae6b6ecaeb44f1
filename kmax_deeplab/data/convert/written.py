"""What a conversion came to hold: lines of its journal enter, counts and sentences leave."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tabulate import tabulate

from kmax_deeplab.data.check.query_count import (
    KEY,
    describe_distribution,
    describe_excess,
    propose_queries,
)
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.measures import count_queries

DEFAULT_QUERIES = 128
"""Number of queries that the configs for COCO, ADE20K and own data have."""


@dataclass
class Written:
    """What a dataset, or a part of it, came to hold.

    Attributes:
        images: number of images.
        segments: segments of each class, by name, crowds among them.
        crowds: number of crowds.
        left_out: segments that have no pixel or that others cover.
        contested: pixels on which a thing covers another one.
        overlapping: images that have such pixels.
        dropped: labels that are no region, by the reason.
        notes: what else was counted.
        needed: images by the number of queries that they need.
    """

    images: int = 0
    segments: Counter[str] = field(default_factory=Counter)
    crowds: int = 0
    left_out: int = 0
    contested: int = 0
    overlapping: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    needed: Counter[int] = field(default_factory=Counter)


def count_image(written: Written, record: Mapping, kinds: Mapping[int, tuple[str, bool]]) -> None:
    """Adds an image to what was written.

    Args:
        record: its line of the journal.
        kinds: name of each category id, and whether it is a thing.
    """
    infos = record["annotation"]["segments_info"]
    written.images += 1
    written.segments.update(kinds[info["category_id"]][0] for info in infos)
    written.crowds += sum(info["iscrowd"] for info in infos)
    written.left_out += record["left_out"]
    written.contested += record["contested"]
    written.overlapping += record["contested"] > 0
    written.dropped.update(record["dropped"])
    written.notes.update(record["notes"])
    described = ({**info, "isthing": kinds[info["category_id"]][1]} for info in infos)
    written.needed[count_queries(described)] += 1


def describe(written: Mapping[str, Written], categories: Categories) -> Iterator[str]:
    """Yields what somebody should know of a new dataset, classes as a table.

    Args:
        written: by part.
        categories: of the dataset.
    """
    every = list(written.values())
    crowds = sum(one.crowds for one in every)
    counted = f", {crowds} of them crowds, which count for nothing" if crowds else ""
    yield f"{sum(one.segments.total() for one in every)} segments{counted}."
    names = [name or "segments" for name in written]
    rows = [
        (name, "thing" if is_thing else "stuff", *(one.segments[name] for one in every))
        for _, name, is_thing in categories.rows()
    ]
    yield tabulate(rows, ("class", "kind", *names), disable_numparse=True)
    yield from _describe_losses(every)
    used = sum((one.segments for one in every), Counter())
    if unused := [name for name in categories.names if not used[name]]:
        yield f"Classes without a segment: {', '.join(unused)}."
    needed = [count for one in every for count in one.needed.elements()]
    proposal = f"{KEY} {propose_queries(needed)} is enough"
    yield f"Queries that an image needs: {describe_distribution(needed)}; {proposal}."
    if excess := describe_excess("warning", needed, DEFAULT_QUERIES):
        yield excess


def _describe_losses(every: list[Written]) -> Iterator[str]:
    if left_out := sum(one.left_out for one in every):
        yield f"Left out {left_out} segments: they have no pixel, or others cover them."
    if contested := sum(one.contested for one in every):
        images = sum(one.overlapping for one in every)
        yield (
            f"Things overlap in {images} images, on {contested} pixels: there the smaller is on "
            "top, of equal ones the later."
        )
    for reason, count in sum((one.dropped for one in every), Counter()).most_common():
        yield f"Dropped {count}: {reason}."
    for note, count in sum((one.notes for one in every), Counter()).most_common():
        yield f"{note}: {count}."
