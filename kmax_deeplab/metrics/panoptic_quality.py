"""Panoptic quality: predicted and true segments of one image after another enter, PQ leaves.

The rules and the order of every floating-point sum are those of panopticapi's `pq_compute`
(Kirillov et al., Panoptic Segmentation, section 4), on arrays instead of files: the numbers are
equal to the last digit. Its `PQStat` holds the counts. Sums of floats depend on their order: add
images in the order of their dataset, whichever process has compared them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from panopticapi.evaluation import OFFSET, VOID, PQStat

from kmax_deeplab.data.samples.segments import find_runs

GROUPS = {"all": None, "things": True, "stuff": False}
"""Groups of categories that are averaged, with the "isthing" that they ask for."""


@dataclass(frozen=True)
class LabelledMap:
    """Segments of one image, true or predicted.

    Attributes:
        ids: (H, W) integer segment ids below 2**24, 0 where void.
        segments_info: one mapping per segment, "id" and "category_id" of the dataset; true
            segments also "iscrowd" (default 0). What it says of areas has no influence: pixels are
            counted.
    """

    ids: np.ndarray
    segments_info: Sequence[Mapping]

    def segments(self) -> dict[int, Mapping]:
        """Returns the segments by id."""
        return {segment["id"]: segment for segment in self.segments_info}


@dataclass(frozen=True)
class Quality:
    """Averages over the categories of a group, or the quality of one category; all in [0, 1].

    Attributes:
        pq: panoptic quality, sq * rq for a single category.
        sq: segmentation quality, mean IoU of matched segments.
        rq: recognition quality, F1 of matching.
        num_categories: how many categories were seen in truth or prediction; with none the three
            numbers are NaN.
    """

    pq: float = float("nan")
    sq: float = float("nan")
    rq: float = float("nan")
    num_categories: int = 0


@dataclass
class Comparison:
    """What an image adds to the statistics, category ids in the order in which they were found.

    Attributes:
        matched: category and IoU of the pairs that match.
        missed: of true segments without a match.
        invented: of predicted segments without one.
    """

    matched: list[tuple[int, float]] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    invented: list[int] = field(default_factory=list)

    def add_to(self, statistics: PQStat) -> None:
        """Adds the image."""
        for category_id, iou in self.matched:
            statistics[category_id].tp += 1
            statistics[category_id].iou += iou
        for category_id in self.missed:
            statistics[category_id].fn += 1
        for category_id in self.invented:
            statistics[category_id].fp += 1


@dataclass(frozen=True)
class _Overlaps:
    """Pixel counts of one image.

    Attributes:
        pairs: pixels of each (true id, predicted id) that meet, in ascending order.
        true_areas: pixels of each true id.
        predicted_areas: pixels of each predicted id.
    """

    pairs: dict[tuple[int, int], int] = field(default_factory=dict)
    true_areas: dict[int, int] = field(default_factory=dict)
    predicted_areas: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Matching:
    """Which true and predicted segments of one image are the same, by their ids.

    Attributes:
        pairs: (true id, predicted id): IoU of the pairs that match.
        missed: true segments without a match; crowds are none.
        invented: predicted segments without one, but for those that void or a crowd excuses.
        ious: (true id, predicted id): IoU, void left out, of all pairs that meet, whatever their
            class.
        areas: pixels of each true segment, and of each predicted one.
    """

    pairs: dict[tuple[int, int], float]
    missed: list[int]
    invented: list[int]
    ious: dict[tuple[int, int], float]
    areas: tuple[dict[int, int], dict[int, int]]


def compare(
    prediction: LabelledMap, truth: LabelledMap, category_ids: set[int], image: str
) -> Comparison:
    """Compares the segments of an image: see `match`."""
    matching = match(prediction, truth, category_ids, image)
    true, predicted = (
        {i: s["category_id"] for i, s in m.segments().items()} for m in (truth, prediction)
    )
    return Comparison(
        [(true[true_id], iou) for (true_id, _), iou in matching.pairs.items()],
        [true[true_id] for true_id in matching.missed],
        [predicted[predicted_id] for predicted_id in matching.invented],
    )


def match(
    prediction: LabelledMap, truth: LabelledMap, category_ids: set[int], image: str
) -> Matching:
    """Finds the segments of an image that are the same in prediction and truth.

    Args:
        prediction: what was found.
        truth: what is there.
        category_ids: of the dataset.
        image: name for error messages.

    Raises:
        ValueError: the prediction contradicts itself, or has another size than the truth.
    """
    overlaps = _overlaps(prediction.ids, truth.ids, image)
    predicted = prediction.segments()
    true = {i: s for i, s in truth.segments().items() if i in overlaps.true_areas}
    _check_prediction(predicted, overlaps.predicted_areas, category_ids, image)
    ious = _ious(overlaps, true, predicted)
    pairs = {
        (true_id, predicted_id): iou
        for (true_id, predicted_id), iou in ious.items()
        if iou > 0.5 and true[true_id]["category_id"] == predicted[predicted_id]["category_id"]
    }
    matched_true, matched_predicted = {t for t, _ in pairs}, {p for _, p in pairs}
    crowds = {s["category_id"]: i for i, s in true.items() if s.get("iscrowd", 0)}
    missed = [i for i, s in true.items() if i not in matched_true and not s.get("iscrowd", 0)]
    invented = []
    for predicted_id, segment in predicted.items():
        if predicted_id in matched_predicted:
            continue
        ignored = overlaps.pairs.get((VOID, predicted_id), 0)
        if segment["category_id"] in crowds:
            crowd = crowds[segment["category_id"]]
            ignored += overlaps.pairs.get((crowd, predicted_id), 0)
        if ignored / overlaps.predicted_areas[predicted_id] <= 0.5:
            invented.append(predicted_id)
    return Matching(pairs, missed, invented, ious, (overlaps.true_areas, overlaps.predicted_areas))


def summarise(statistics: PQStat, categories: Sequence[Mapping]) -> dict[str, Quality]:
    """Averages over all categories, things and stuff.

    Args:
        categories: mappings with "id" and "isthing".

    Returns:
        Quality of each of GROUPS.
    """
    by_id = {category["id"]: category for category in categories}
    result = {}
    for group, is_thing in GROUPS.items():
        members = [c for c in categories if is_thing is None or (c["isthing"] == 1) == is_thing]
        # panopticapi divides by the number of categories seen.
        if any(_is_seen(statistics, category["id"]) for category in members):
            means, _ = statistics.pq_average(by_id, is_thing)
            result[group] = Quality(means["pq"], means["sq"], means["rq"], means["n"])
        else:
            result[group] = Quality()
    return result


def per_category(statistics: PQStat, categories: Sequence[Mapping]) -> dict[int, Quality]:
    """Returns the quality of each category by its id."""
    return {category["id"]: summarise(statistics, [category])["all"] for category in categories}


def _is_seen(statistics: PQStat, category_id: int) -> bool:
    counts = statistics[category_id]
    return counts.tp + counts.fp + counts.fn > 0


def _overlaps(predicted_ids: np.ndarray, true_ids: np.ndarray, image: str) -> _Overlaps:
    if predicted_ids.shape != true_ids.shape:
        raise ValueError(
            f"image {image}: the prediction has (height, width) {predicted_ids.shape}, the ground "
            f"truth {true_ids.shape}; predict at the size of the ground truth"
        )
    runs, lengths = find_runs(true_ids.astype(np.int64) * OFFSET + predicted_ids)
    values, run_of = np.unique(runs, return_inverse=True)
    counts = np.bincount(run_of, lengths).astype(np.int64)
    overlaps = _Overlaps()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        true_id, predicted_id = divmod(value, OFFSET)
        overlaps.pairs[true_id, predicted_id] = count
        for areas, key in (
            (overlaps.true_areas, true_id),
            (overlaps.predicted_areas, predicted_id),
        ):
            areas[key] = areas.get(key, 0) + count
    return overlaps


def _check_prediction(
    segments: Mapping[int, Mapping], areas: Mapping[int, int], category_ids: set[int], image: str
) -> None:
    drawn, listed = set(areas) - {VOID}, set(segments)
    if unlisted := sorted(drawn - listed):
        raise ValueError(f"image {image}: segments {unlisted} are in the map, not in segments_info")
    if missing := sorted(listed - set(areas)):
        raise ValueError(f"image {image}: segments {missing} are in segments_info, not in the map")
    used = {segment["category_id"] for segment in segments.values()}
    if unknown := sorted(used - category_ids):
        raise ValueError(
            f"image {image}: category ids {unknown} are predicted; the dataset has "
            f"{sorted(category_ids)}"
        )


def _ious(
    overlaps: _Overlaps, true: Mapping[int, Mapping], predicted: Mapping[int, Mapping]
) -> dict[tuple[int, int], float]:
    """Returns the IoU, void left out, of all pairs of listed segments that meet; no crowds."""
    ious = {}
    for (true_id, predicted_id), intersection in overlaps.pairs.items():
        if true_id not in true or predicted_id not in predicted:
            continue
        if true[true_id].get("iscrowd", 0):
            continue
        union = (
            overlaps.predicted_areas[predicted_id]
            + overlaps.true_areas[true_id]
            - intersection
            - overlaps.pairs.get((VOID, predicted_id), 0)
        )
        ious[true_id, predicted_id] = intersection / union
    return ious
