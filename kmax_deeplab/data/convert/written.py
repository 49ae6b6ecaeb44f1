"""What a conversion came to hold: lines of its journal enter, counts leave."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from kmax_deeplab.data.format.measures import count_queries


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
