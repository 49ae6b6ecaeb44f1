"""What a checked dataset holds, by its pixels: a report enters, its profile and sentences leave."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.check.dataset_check import (
    ClassCount,
    DatasetReport,
    count_classes,
    count_needed_queries,
)
from kmax_deeplab.data.check.profile import (
    MOST_SMALL,
    SMALL_SIDE,
    Profile,
    describe_quantiles,
    least_input,
    small_share,
    widest_tile,
)
from kmax_deeplab.data.check.query_count import KEY, describe_distribution, propose_queries

INPUTS = (257, 385, 513, 641, 1025, 1281)
"""Sides of inputs that small things are counted for, those of the configs of this project."""
WINDOW_INPUT = 641
"""Side of the input for windows, where the largest of these is not enough."""
FEW_IMAGES = 10
"""Images with a class below which it is called rare."""
MOST_NAMED = 10
"""Classes that a sentence names."""


@dataclass(frozen=True)
class Summary:
    """What is told about a dataset.

    Attributes:
        name: of the dataset.
        facts: titles and sentences.
        classes: how often each occurs.
        small: see `small_by_input`.
    """

    name: str
    facts: list[tuple[str, str]]
    classes: list[ClassCount]
    small: list[tuple[int, float, int]]


def profile_report(report: DatasetReport) -> Profile | None:
    """Measures what was read of a dataset, crowds left out; None if that is nothing.

    It is `profile.profile_dataset` by the pixels, whatever areas and boxes the JSON states.
    """
    categories = report.content.get("categories", ())
    indices = {category["id"]: index for index, category in enumerate(categories)}
    sizes, tables, needed = [], [np.zeros((0, 7))], []
    for pair, queries in zip(report.pairs, count_needed_queries(report), strict=True):
        image = report.reports[pair.image["id"]]
        if not image.pixels:
            continue
        classes = {
            segment["id"]: indices[segment["category_id"]]
            for segment in pair.annotation["segments_info"]
            if segment["category_id"] in indices and not segment.get("iscrowd", 0)
        }
        rows = image.rows[np.isin(image.rows[:, 0], list(classes))]
        heads = [(len(sizes), classes[i]) for i in rows[:, 0].tolist()]
        tables.append(np.hstack((np.reshape(heads, (-1, 2)), rows[:, 1:])))
        sizes.append(image.size)
        needed.append(queries)
    if not sizes:
        return None
    table = np.concatenate(tables)
    return Profile(
        sizes=np.array(sizes),
        needed=tuple(needed),
        names=tuple(str(category["name"]) for category in categories),
        is_thing_class=np.array([bool(category["isthing"]) for category in categories]),
        image=table[:, 0].astype(np.int64),
        category=table[:, 1].astype(np.int64),
        areas=table[:, 2],
        boxes=table[:, 3:],
    )


def small_by_input(profile: Profile) -> list[tuple[int, float, int]]:
    """Returns the side of each of INPUTS, the share of small things in it, and their number."""
    count = len(profile.thing_areas)
    shares = [(side, small_share(profile, side)) for side in INPUTS]
    return [(side, share, round(share * count)) for side, share in shares] if count else []


def propose_input(profile: Profile) -> str:
    """Says which input, or which windows, leave few small things."""
    if not len(profile.thing_areas):
        return "there are no things"
    side = least_input(profile)
    leaves = f"at most {MOST_SMALL:.0%} of the things below {SMALL_SIDE}×{SMALL_SIDE} pixels"
    if side <= INPUTS[-1]:
        return f"{side}×{side} pixels or more leave {leaves}"
    tile = widest_tile(profile, WINDOW_INPUT)
    return (
        f"{side}×{side} pixels would leave {leaves}; look at windows: INPUT.TILE_TEST {tile} with "
        f"inputs of {WINDOW_INPUT} does"
    )


def describe_balance(classes: Sequence[ClassCount], images: int) -> str:
    """Says which class covers most, and which are rare.

    Args:
        classes: of the dataset.
        images: in it.
    """
    used = [each for each in classes if each.segments]
    if not used:
        return "no class is used"
    largest = max(used, key=lambda each: each.pixels)
    share = largest.pixels / max(sum(each.pixels for each in used), 1)
    rare = sorted((each for each in used if each.images < FEW_IMAGES), key=lambda c: c.images)
    told = f"{largest.name} covers {share:.0%} of what is labelled"
    if images < FEW_IMAGES or not rare:
        return told
    named = ", ".join(f"{each.name} ({each.images})" for each in rare[:MOST_NAMED])
    more = f" and {len(rare) - MOST_NAMED} more" if len(rare) > MOST_NAMED else ""
    return f"{told}; in fewer than {FEW_IMAGES} images: {named}{more}"


def class_shares(classes: Sequence[ClassCount]) -> list[float]:
    """Returns the share of each class in the labelled pixels."""
    total = max(sum(each.pixels for each in classes), 1)
    return [each.pixels / total for each in classes]


def summarize(report: DatasetReport) -> Summary:
    """Says what a dataset holds and what it asks of a model."""
    classes, profile = count_classes(report), profile_report(report)
    small = small_by_input(profile) if profile else []
    facts = [*_describe_labels(report, classes)]
    if profile:
        pixels, labelled = profile.sizes.prod(axis=1).sum(), sum(each.pixels for each in classes)
        facts += [
            ("unlabelled", f"{1 - labelled / pixels:.1%} of the pixels"),
            ("size of images", f"longer side: {describe_quantiles(profile.longest_sides)} pixels"),
            ("size of things", f"longer side: {describe_quantiles(profile.thing_sides)} pixels"),
            ("least input", propose_input(profile)),
        ]
    return Summary(report.source.name, facts, classes, small)


def _describe_labels(report: DatasetReport, classes: Sequence[ClassCount]) -> list[tuple[str, str]]:
    source, needed = report.source, count_needed_queries(report)
    crowds = sum(each.crowds for each in classes)
    listed = [len(pair.annotation["segments_info"]) for pair in report.pairs]
    return [
        ("images", f"{len(report.content.get('images', ()))} in {source.images}"),
        ("annotated", f"{len(report.pairs)} with PNGs in {source.pngs}"),
        ("without segments", str(listed.count(0))),
        ("segments", f"{sum(listed)}, {crowds} crowds"),
        ("categories", f"{len(classes)} in {source.json}"),
        ("never used", ", ".join(each.name for each in classes if not each.segments) or "none"),
        ("balance", describe_balance(classes, len(report.pairs))),
        ("queries", f"needed by an image: {describe_distribution(needed)}"),
        ("queries to take", f"{KEY} {propose_queries(needed)} is enough"),
    ]
