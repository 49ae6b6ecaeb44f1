"""What is wrong with predictions: segments of one image after another enter, faults by kind,
size and class leave.

Panoptic quality counts what was missed and what was invented. Of these, a true and a predicted
segment that lie on each other belong together: they differ in class, or in shape.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from panopticapi.evaluation import PQStat

from kmax_deeplab.metrics.panoptic_quality import (
    LabelledMap,
    Matching,
    Quality,
    match,
    per_category,
    summarise,
)

ALIKE = 0.1
"""Least IoU with which a segment of the same class, not matched, is a poor shape of another."""
POOR = 0.75
"""IoU of a matched pair up to which its shape is called poor."""
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}
"""Pixels below which a segment is of a size, as in COCO; true ones, and invented ones."""


@dataclass(frozen=True)
class Faults:
    """The segments of one image, told apart by what is wrong with them; ids, true before predicted.

    Attributes:
        good: pairs of one class with an IoU above POOR.
        poor: pairs of one class with a lesser one; up to 0.5 they count as missed and invented.
        confused: pairs of two classes with an IoU above 0.5; they count as missed and invented.
        missed: true segments that nothing resembles.
        invented: predicted segments that resemble nothing.
        ious: of the pairs.
    """

    good: list[tuple[int, int]]
    poor: list[tuple[int, int]]
    confused: list[tuple[int, int]]
    missed: list[int]
    invented: list[int]
    ious: Mapping[tuple[int, int], float]


@dataclass
class ImageReport:
    """What is known of one image.

    Attributes:
        name: of the image.
        quality: panoptic quality over the classes in it.
        counts: of "matched", "missed" and "invented" segments, as panoptic quality counts them.
        faults: its segments by what is wrong with them.
    """

    name: str
    quality: Quality
    counts: dict[str, int]
    faults: Faults


@dataclass
class DatasetReport:
    """What is known of all images that were added.

    Attributes:
        categories: mappings with "id", "name" and "isthing".
        statistics: counts of all categories.
        by_size: the same of segments of each of SIZES.
        confusion: (true category id, predicted one): pairs.
        kinds: category id: counts of "missed", "invented", "wrong class" and "poor shape".
        images: in the order in which they were added.
    """

    categories: Sequence[Mapping]
    statistics: PQStat = field(default_factory=PQStat)
    by_size: dict[str, PQStat] = field(default_factory=lambda: {name: PQStat() for name in SIZES})
    confusion: Counter[tuple[int, int]] = field(default_factory=Counter)
    kinds: dict[int, Counter[str]] = field(default_factory=dict)
    images: list[ImageReport] = field(default_factory=list)

    def add(self, prediction: LabelledMap, truth: LabelledMap, name: str) -> ImageReport:
        """Compares an image and adds what is found.

        Raises:
            ValueError: the prediction contradicts itself, or has another size than the truth.
        """
        ids = {category["id"] for category in self.categories}
        matching = match(prediction, truth, ids, name)
        true, predicted = (
            {i: s["category_id"] for i, s in side.segments().items()}
            for side in (truth, prediction)
        )
        alone = PQStat()
        for statistics in (alone, self.statistics):  # not their sum: floats depend on the order
            _count(statistics, matching, true, predicted)
        for size, (least, most) in _ranges().items():
            _count(self.by_size[size], matching, true, predicted, least, most)
        faults = find_faults(matching, true, predicted)
        self._tell(faults, true, predicted)
        counts = {
            "matched": len(matching.pairs),
            "missed": len(matching.missed),
            "invented": len(matching.invented),
        }
        report = ImageReport(name, summarise(alone, self.categories)["all"], counts, faults)
        self.images.append(report)
        return report

    @property
    def by_name(self) -> dict[str, ImageReport]:
        """What is known of each image, by its name."""
        return {image.name: image for image in self.images}

    @property
    def qualities(self) -> dict[str, Quality]:
        """Quality of all, of things, and of stuff."""
        return summarise(self.statistics, self.categories)

    @property
    def by_category(self) -> dict[int, Quality]:
        """Quality of each category by its id."""
        return per_category(self.statistics, self.categories)

    def _tell(self, faults: Faults, true: dict[int, int], predicted: dict[int, int]) -> None:
        told = [("missed", true[i]) for i in faults.missed]
        told += [("invented", predicted[i]) for i in faults.invented]
        told += [("wrong class", true[i]) for i, _ in faults.confused]
        told += [("poor shape", true[i]) for i, _ in faults.poor]
        for kind, category in told:
            self.kinds.setdefault(category, Counter())[kind] += 1
        for i, j in faults.confused:
            self.confusion[true[i], predicted[j]] += 1


def find_faults(
    matching: Matching, true: Mapping[int, int], predicted: Mapping[int, int]
) -> Faults:
    """Tells the segments of an image apart by what is wrong with them.

    Args:
        matching: of the image.
        true, predicted: category of each segment.
    """
    free_true, free_predicted = set(matching.missed), set(matching.invented)
    ranked = sorted(matching.ious.items(), key=lambda item: -item[1])
    confused, poor = [], [pair for pair, iou in matching.pairs.items() if iou <= POOR]
    for (i, j), iou in ranked:
        if i not in free_true or j not in free_predicted:
            continue
        is_same = true[i] == predicted[j]
        if (is_same and iou >= ALIKE) or (not is_same and iou > 0.5):
            (poor if is_same else confused).append((i, j))
            free_true.remove(i)
            free_predicted.remove(j)
    good = [pair for pair, iou in matching.pairs.items() if iou > POOR]
    missed = [i for i in matching.missed if i in free_true]
    invented = [j for j in matching.invented if j in free_predicted]
    return Faults(good, poor, confused, missed, invented, matching.ious)


def count(statistics: PQStat, categories: Sequence[Mapping]) -> list[int]:
    """Returns how many segments of some categories were matched, missed and invented."""
    counts = [statistics[category["id"]] for category in categories]
    return [sum(getattr(each, kind) for each in counts) for kind in ("tp", "fn", "fp")]


def _ranges() -> dict[str, tuple[float, float]]:
    limits = [0.0, *SIZES.values()]
    return {name: (limits[i], limits[i + 1]) for i, name in enumerate(SIZES)}


def _count(
    statistics: PQStat,
    matching: Matching,
    true: Mapping[int, int],
    predicted: Mapping[int, int],
    least: float = 0.0,
    most: float = float("inf"),
) -> None:
    """Adds the segments of an image whose area, of invented ones the predicted, is in a range."""
    areas, predicted_areas = matching.areas
    for (i, _), iou in matching.pairs.items():
        if least <= areas[i] < most:
            statistics[true[i]].tp += 1
            statistics[true[i]].iou += iou
    for i in matching.missed:
        if least <= areas[i] < most:
            statistics[true[i]].fn += 1
    for j in matching.invented:
        if least <= predicted_areas[j] < most:
            statistics[predicted[j]].fp += 1
