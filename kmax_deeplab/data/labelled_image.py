"""A labelled image: pixels, the segment each pixel belongs to, and what the segments are.

What enters: the ids of a panoptic PNG and the "segments_info" of its JSON. What leaves: a map of
segment indices in which everything without a label, crowds included, is VOID (section "Targets").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.structures import VOID


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


def label_segments(
    ids: np.ndarray, segments_info: Sequence[Mapping]
) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Turns the ids of a panoptic PNG into segment indices; crowds become VOID.

    Args:
        ids: (H, W) integer ids, 0 where unlabelled.
        segments_info: one mapping per segment: "id", "category_id" (contiguous), "isthing" and,
            for crowds, "iscrowd".

    Returns:
        segment_map (H, W) int32 and the segments it indexes.

    Raises:
        ValueError: PNG and JSON disagree about the ids.
    """
    listed = sorted(segments_info, key=lambda segment: segment["id"])
    known = np.array([0, *(segment["id"] for segment in listed)], dtype=np.int64)
    if (np.diff(known) <= 0).any():
        raise ValueError(f"segment ids {known[1:].tolist()} must be positive and distinct")
    run_ids, lengths = find_runs(ids)
    position = np.searchsorted(known, run_ids).clip(max=len(known) - 1)  # (R,), 0 is unlabelled
    if (stray := known[position] != run_ids).any():
        stray_ids = np.unique(run_ids[stray]).tolist()
        raise ValueError(f"ids {stray_ids} are in the PNG, not in the JSON")
    runs = np.bincount(position, minlength=len(known))
    if not runs[1:].all():
        missing = known[1:][runs[1:] == 0].tolist()
        raise ValueError(f"ids {missing} are in the JSON, not in the PNG")
    counted = [not segment.get("iscrowd", 0) for segment in listed]
    index = np.where(counted, np.cumsum(counted) - 1, VOID)
    segments = (Segment(s["category_id"], bool(s["isthing"])) for s in listed)
    return (
        np.array([VOID, *index], dtype=np.int32)[position].repeat(lengths).reshape(ids.shape),
        tuple(s for s, is_counted in zip(segments, counted, strict=True) if is_counted),
    )


def find_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the runs of equal values in an array read row by row; segments make few, long ones.

    Returns:
        The value of each run and its length, both (R,).
    """
    flat = values.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    return flat[starts], np.diff(starts, append=flat.size)


def tidy(
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
