"""A labelled image: pixels, the segment each pixel belongs to, and what the segments are.

What enters: the ids of a panoptic PNG and the "segments_info" of its JSON. What leaves: a map of
segment indices in which everything without a label, crowds included, is VOID (section "Targets").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.values import VOID

REMEDY = "PNG and JSON must be of one version, and the PNG's channels in the order RGB"


@dataclass(frozen=True)
class Segment:
    """What a segment is: its contiguous class and whether that class is a thing."""

    category: int
    is_thing: bool


@dataclass(frozen=True)
class LabelledImage:
    """An image of one size with its labels.

    Attributes:
        image: (H, W, 3) uint8.
        segment_map: (H, W) int32, index into `segments`, VOID where unlabelled.
        segments: the segments, each of which may or may not have pixels.
    """

    image: np.ndarray
    segment_map: np.ndarray
    segments: tuple[Segment, ...]


class Labels(NamedTuple):
    """The labels of an image.

    Attributes:
        segment_map: (H, W) int32, index into `segments`, VOID where unlabelled.
        segments: the segments, each of which may or may not have pixels.
        missing: ids of the segments that are listed without a pixel.
    """

    segment_map: np.ndarray
    segments: tuple[Segment, ...]
    missing: list[int]


def label_segments(ids: np.ndarray, segments_info: Sequence[Mapping]) -> Labels:
    """Turns the ids of a panoptic PNG into segment indices; crowds become VOID.

    Args:
        ids: (H, W) integer ids, 0 where unlabelled.
        segments_info: one mapping per segment: "id", "category_id" (contiguous), "isthing" and,
            for crowds, "iscrowd".

    Raises:
        ValueError: PNG and JSON disagree about the ids (see `missing_ids`).
    """
    listed = sorted(segments_info, key=lambda segment: segment["id"])
    known = np.array([0, *(segment["id"] for segment in listed)], dtype=np.int64)
    if (np.diff(known) <= 0).any():
        raise ValueError(f"segment ids {known[1:].tolist()} must be positive and distinct")
    run_ids, lengths = find_runs(ids)
    position = np.searchsorted(known, run_ids).clip(max=len(known) - 1)  # (R,), 0 is unlabelled
    missing = missing_ids(np.unique(run_ids).tolist(), known[1:].tolist())
    counted = [not segment.get("iscrowd", 0) for segment in listed]
    index = np.where(counted, np.cumsum(counted) - 1, VOID)
    segments = (Segment(s["category_id"], bool(s["isthing"])) for s in listed)
    return Labels(
        np.array([VOID, *index], dtype=np.int32)[position].repeat(lengths).reshape(ids.shape),
        tuple(s for s, is_counted in zip(segments, counted, strict=True) if is_counted),
        missing,
    )


def missing_ids(drawn: Iterable[int], listed: Iterable[int]) -> list[int]:
    """Compares the ids of a PNG with those that its JSON lists.

    A listed segment without a pixel, hidden by others or lost in a resize, counts for nothing, in
    training and in evaluation alike, and is reported. An id that is not listed, or several that are
    listed of which none is drawn, mean that PNG and JSON do not belong together.

    Args:
        drawn: ids of the PNG; 0 means unlabelled.
        listed: ids of the JSON.

    Returns:
        Listed ids that are not drawn.

    Raises:
        ValueError: an id is drawn but not listed, or none of several listed ones is drawn.
    """
    drawn, listed = set(drawn) - {0}, set(listed)
    if stray := sorted(drawn - listed):
        raise ValueError(f"ids {_shorten(stray)} are in the PNG, not in the JSON; {REMEDY}")
    missing = sorted(listed - drawn)
    if len(missing) > 1 and not drawn:
        raise ValueError(f"ids {_shorten(missing)} are in the JSON, none is in the PNG; {REMEDY}")
    return missing


def read_true_ids(
    path: str | Path, segments_info: Sequence[Mapping], size: tuple[int, int] | None
) -> tuple[np.ndarray, list[int]]:
    """Reads the panoptic PNG of an image as ground truth.

    Args:
        path: of the PNG.
        segments_info: what the JSON lists, each with its "id".
        size: (H, W) of the image or of what is compared with it; None if nobody knows.

    Returns:
        (H, W) int32 ids, and the ids that are listed but have no pixel.

    Raises:
        FileNotFoundError: the PNG is missing.
        ValueError: it is damaged, has another size, or does not belong to the JSON; the message
            names it.
    """
    try:
        ids = read_ids(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing, but the dataset's JSON lists it: restore it, or correct the "
            "folder of the PNGs"
        ) from error
    require_size(path, ids.shape, size)
    drawn, _ = find_runs(ids)
    try:
        return ids, missing_ids(np.unique(drawn).tolist(), [s["id"] for s in segments_info])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def require_size(path: str | Path, found: tuple[int, int], wanted: tuple[int, int] | None) -> None:
    """Refuses a PNG of labels that has another (H, W) than its image, if that is known.

    Raises:
        ValueError: naming the PNG; one that lies on its side would otherwise be compared pixel by
            pixel as if it fitted.
    """
    if wanted is not None and tuple(found) != tuple(wanted):
        raise ValueError(
            f"{path} is {found[0]} pixels high and {found[1]} wide, its image {wanted[0]} and "
            f"{wanted[1]} (EXIF rotation applied): replace the wrong one"
        )


def _shorten(ids: Sequence[int]) -> str:
    return str(list(ids[:10])) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")


def find_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the runs of equal values in an array read row by row; segments make few, long ones.

    Returns:
        The value of each run and its length, both (R,).
    """
    flat = values.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    return flat[starts], np.diff(starts, append=flat.size)


def compact(
    segment_map: np.ndarray, segments: Sequence[Segment]
) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Makes one segment of all stuff of a class and drops segments without a pixel.

    Args:
        segment_map: (H, W) int32 index into `segments`, VOID where unlabelled.
        segments: the segments it indexes.

    Returns:
        The map (H, W) int32 and the segments it indexes now.
    """
    is_visible = np.bincount(segment_map.ravel() + 1, minlength=len(segments) + 1)[1:] > 0
    renamed = np.full(len(segments) + 1, VOID, dtype=np.int32)  # its last entry serves VOID, -1
    kept, stuff = [], {}
    for index in np.flatnonzero(is_visible):
        segment = segments[index]
        renamed[index] = len(kept) if segment.is_thing else stuff.setdefault(segment, len(kept))
        if renamed[index] == len(kept):
            kept.append(segment)
    return renamed[segment_map], tuple(kept)
