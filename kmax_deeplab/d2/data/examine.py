"""What a run looks at of a dataset beforehand: a name enters, sentences or an error leave.

It is the part of `datasets/check.py` that takes no time, and a few of the PNGs: training and
evaluation look at the others when they read them, by the same rules.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from detectron2.data import MetadataCatalog

from kmax_deeplab.d2.data.catalog import PanopticMetadata, read_panoptic_json
from kmax_deeplab.d2.data.sources import panoptic_source
from kmax_deeplab.data.check.dataset_check import UNUSABLE, check_places
from kmax_deeplab.data.check.findings import KINDS, Finding
from kmax_deeplab.data.check.json_check import Pair, check_content, check_files, pair_files
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import DamagedPngError
from kmax_deeplab.data.samples.segments import read_true_ids

TOLERATED = frozenset({"unannotated-image", "missing-iscrowd", "stuff-in-pieces"})
"""What training copes with: such images are left out, such segments count as no crowds or as one.
"""
MOST_FILES = 2000
"""Images of a dataset whose files are looked for before a run."""
MOST_PNGS = 20
"""PNGs of a dataset that are compared with its JSON before a run; the others are when read."""
MOST_NAMED = 10
"""Findings that an error lists."""


def examine(name: str, *, tested: bool = True) -> list[str]:
    """Runs the part of a dataset's check that takes no time; other datasets than ours pass.

    Args:
        name: of the dataset.
        tested: whether it is evaluated, which needs all its files; training does without damaged
            ones.

    Returns:
        Sentences about what training copes with.

    Raises:
        FileNotFoundError: the JSON is missing.
        ValueError: something is wrong; the message names the first files.
    """
    metadata = MetadataCatalog.get(name)
    if not isinstance(metadata, PanopticMetadata):
        return []
    content = read_panoptic_json(metadata.panoptic_json, name)
    source = panoptic_source(name)
    found = check_places(source) or check_content(content, source.json)
    if not any(finding.kind in UNUSABLE for finding in found):
        pairs = pair_files(content, source.images, source.pngs, source.files)
        found += check_files(sample_evenly(pairs, MOST_FILES), source.json)
    fatal = [finding for finding in found if finding.kind not in TOLERATED]
    if fatal:
        raise ValueError(describe_faults(name, fatal))
    compare_labels(name, sample_evenly(pairs, MOST_PNGS), tested=tested)
    metadata.describe(Categories.from_json(content["categories"]))
    examples = {finding.kind: finding.message for finding in reversed(found)}
    counts = Counter(finding.kind for finding in found)
    return [
        f"dataset {name!r}: {count} times, {KINDS[kind]}: {examples[kind]}."
        for kind, count in counts.items()
    ]


def compare_labels(name: str, pairs: Sequence[Pair], *, tested: bool) -> None:
    """Compares panoptic PNGs with the JSON, as training and evaluation do when they read them.

    Raises:
        ValueError: a PNG is of another set, size or kind or, if it is evaluated, damaged; the
            message names it. Or none of those that list segments shows one.
    """
    read = [(pair, _read(name, pair, tested=tested)) for pair in pairs]
    labelled = [
        (pair.png_file, ids)
        for pair, ids in read
        if ids is not None and pair.annotation["segments_info"]
    ]
    if labelled and not any(ids.any() for _, ids in labelled):
        raise ValueError(
            f"dataset {name!r}: none of the {len(labelled)} PNGs that were looked at has a "
            f"labelled pixel, although the JSON lists segments of them, e.g. {labelled[0][0]}: "
            "there is nothing to learn or to compare with"
        )


def _read(name: str, pair: Pair, *, tested: bool) -> np.ndarray | None:
    """Returns the ids of a PNG, None if it is damaged and may be."""
    size = tuple(pair.image.get(key) for key in ("height", "width"))
    segments = pair.annotation["segments_info"]
    try:
        return read_true_ids(pair.png_file, segments, None if None in size else size)[0]
    except ValueError as error:
        if isinstance(error, DamagedPngError) and not tested:
            return None
        raise ValueError(f"dataset {name!r}: {error}") from error


def sample_evenly(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Picks at most so many pairs, evenly spread."""
    step = max(len(pairs) / most, 1)
    return [pairs[int(index * step)] for index in range(min(len(pairs), most))]


def describe_faults(name: str, found: Sequence[Finding]) -> str:
    """Writes findings as the message of an error."""
    lines = "\n".join(f"  {finding}" for finding in found[:MOST_NAMED])
    more = f"\n  … and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    count = f"{len(found)} fault{'s' * (len(found) > 1)}"
    return f"dataset {name!r} has {count} (python datasets/check.py shows them all):\n{lines}{more}"
