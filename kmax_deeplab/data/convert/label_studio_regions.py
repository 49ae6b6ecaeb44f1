"""An annotation of Label Studio: its results enter, what somebody drew leaves, not drawn yet."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARKS = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "radiusX": "ellipse",
    "height": "rectangle",
    "width": "key point",
}
"""What a region is by the first of these fields that it has."""
NO_REGIONS = ("rectangle", "key point")


@dataclass(frozen=True)
class Outline:
    """What somebody drew.

    Attributes:
        name: id of the region.
        label: name of its class.
        kind: see `MARKS`.
        value: its fields; coordinates in percent of the image.
        size: (height, width) of the image it was drawn on, in pixels; None: not said.
    """

    name: str
    label: str
    kind: str
    value: Mapping
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Annotation:
    """What counts of a task: its name, its image, its regions, what was left out."""

    name: str
    image: Path
    outlines: Sequence[Outline]
    dropped: Mapping[str, int]
    notes: Mapping[str, int]


def read_annotation(annotation: Mapping, name: str, image: Path, others: int = 0) -> Annotation:
    """Reads what an annotation says of places in the image.

    Args:
        annotation: with its list "result".
        name: of the task, for whoever looks for it.
        image: its file.
        others: how many other annotations the image has.

    Raises:
        ValueError: it is of several images, or a size or a brush is damaged; the task is named.
    """
    outlines, dropped = [], Counter()
    notes = Counter({"Other annotations of an image, which do not count": others})
    for region_id, parts in _group(annotation["result"], name):
        value = {key: item for part in parts for key, item in part.get("value", {}).items()}
        kind = next((kind for key, kind in MARKS.items() if key in value), None)
        labels = _read_labels(value, f"{name}, region {region_id}")
        if (reason := _find_fault(kind, labels, value, parts)) is not None:
            dropped[reason] += 1
            continue
        notes["Regions of several classes, of which the first counts"] += len(set(labels)) > 1
        notes["Regions drawn on a turned image"] += any(
            part.get("image_rotation") for part in parts
        )
        region = f"{name}, region {region_id}"
        if kind == "brush":
            value["rle"] = _pack(value["rle"], region)
        outlines.append(Outline(region, labels[0], kind, value, _read_size(parts, region)))
    return Annotation(name, image, outlines, dropped, +notes)


def _group(results: Sequence, name: str) -> Iterator[tuple[str, list[Mapping]]]:
    """Yields what belongs to one region: a brush and its label may be two entries of one id."""
    regions: dict[str, list[Mapping]] = {}
    for number, result in enumerate(results):
        if not isinstance(result, Mapping) or not isinstance(result.get("value", {}), Mapping):
            raise ValueError(f"{name}: result {number} is none that Label Studio writes")
        if result.get("item_index"):
            raise ValueError(f"{name} shows several images; only tasks of one can be converted")
        regions.setdefault(str(result.get("id", f"number {number}")), []).append(result)
    yield from regions.items()


def _read_labels(value: Mapping, name: str) -> list[str]:
    """Returns the classes of a region, of "brushlabels" or the like."""
    listed = [value[key] or [] for key in value if key.endswith("labels")]
    if not all(isinstance(labels, list) for labels in listed) or not all(
        isinstance(label, str) for labels in listed for label in labels
    ):
        raise ValueError(f"{name}: its classes are {listed}, no lists of names")
    return [label for labels in listed for label in labels]


def _find_fault(
    kind: str | None, labels: Sequence[str], value: Mapping, parts: Sequence[Mapping]
) -> str | None:
    """Returns why something is no region."""
    if kind is None:
        return f"{parts[0].get('type', 'result')}, which marks no region"
    if kind in NO_REGIONS:
        return f"{kind}, which outlines no object"
    if not labels:
        return f"{kind} without a class"
    corners = value["points"] if kind == "polygon" else None
    if isinstance(corners, list) and (len(corners) < 3 or value.get("closed") is False):
        return "polygon that is not closed or has fewer than three corners"
    return None


def _pack(numbers: object, name: str) -> bytes:
    """Keeps the bytes of a brush as bytes, an eighth of the memory."""
    try:
        return bytes(numbers)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: its run lengths are no list of bytes ({error})") from error


def _read_size(parts: Sequence[Mapping], name: str) -> tuple[int, int] | None:
    said = next((part for part in parts if "original_height" in part), None)
    if said is None:
        return None
    size = said["original_height"], said.get("original_width")
    if not all(isinstance(length, int) and length > 0 for length in size):
        raise ValueError(f"{name}: its image cannot have the (height, width) {size}")
    return size
