"""The classes of COCO's, Cityscapes' and ADE20K's panoptic benchmarks, in the order of their ids.

Released models and those of the TensorFlow zoo have these classes, and do not name them.
"""

from functools import cache
from pathlib import Path

from kmax_deeplab.data.format.categories import Categories, read_categories

BENCHMARKS = {"coco": 133, "cityscapes": 19, "ade20k": 150}
"""Benchmarks with their number of classes."""


@cache
def published_categories(benchmark: str) -> Categories:
    """Reads the table of a benchmark's classes that comes with this package.

    Args:
        benchmark: one of `BENCHMARKS`.
    """
    return read_categories(Path(__file__).with_name(f"{benchmark}.tsv"))


def categories_by_count(num_classes: int) -> Categories | None:
    """Returns the classes of the benchmark that has so many; None if there is none."""
    names = [name for name, count in BENCHMARKS.items() if count == num_classes]
    return published_categories(names[0]) if names else None
