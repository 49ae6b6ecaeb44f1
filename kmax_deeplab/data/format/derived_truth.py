"""Semantic and instance ground truth that a panoptic map implies.

What enters: the ids of a panoptic PNG and its "segments_info". What leaves: a map of classes, or
the annotations of a COCO instance JSON. Crowds keep their class; among instances they are crowds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as masks


def semantic_map(
    ids: np.ndarray, segments_info: Sequence[Mapping], classes: Mapping[int, int], void: int
) -> np.ndarray:
    """Replaces segment ids by classes.

    Args:
        ids: (H, W) integer segment ids.
        segments_info: one mapping per segment, with "id" and "category_id".
        classes: class of each category id.
        void: class of what belongs to no segment.

    Returns:
        (H, W) int64.
    """
    class_of = {segment["id"]: classes[segment["category_id"]] for segment in segments_info}
    found, position = np.unique(ids, return_inverse=True)
    values = np.array([class_of.get(i, void) for i in found.tolist()], dtype=np.int64)
    return values[position].reshape(ids.shape)


def instance_annotations(ids: np.ndarray, segments_info: Sequence[Mapping]) -> list[dict]:
    """Describes segments as COCO's instance format does, but for "id" and "image_id".

    Args:
        ids: (H, W) integer segment ids.
        segments_info: the segments to describe: "id", "category_id" and perhaps "iscrowd".

    Returns:
        Per segment "category_id", "iscrowd", "segmentation" (run lengths), "area" in pixels and
        "bbox" (left, top, width, height).
    """
    annotations = []
    for segment in segments_info:
        runs = encode_mask(ids == segment["id"])
        annotations.append(
            {
                "category_id": segment["category_id"],
                "iscrowd": int(segment.get("iscrowd", 0)),
                "segmentation": runs,
                "area": int(masks.area(runs)),
                "bbox": masks.toBbox(runs).tolist(),
            }
        )
    return annotations


def encode_mask(mask: np.ndarray) -> dict:
    """Encodes an (H, W) bool mask as COCO's compressed run lengths, ready for a JSON."""
    runs = masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {**runs, "counts": runs["counts"].decode()}


def encode_part(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """Encodes a mask that lies in a large image, as `encode_mask` would the whole.

    Args:
        mask: (h, w) bool, part of the image, with a pixel at least.
        corner: (row, column) of the part.
        size: (H, W) of the image.
    """
    columns, rows = np.nonzero(mask.T)
    places = (columns + corner[1]) * size[0] + rows + corner[0]  # in the order of columns
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts, ends = places[[0, *(breaks + 1)]], places[[*breaks, -1]] + 1
    turns = np.stack([starts, ends], 1).ravel()  # from where on it is inside, outside, …
    rest = size[0] * size[1] - turns[-1]
    counts = [*np.diff(turns, prepend=0).tolist(), *([int(rest)] if rest else [])]
    runs = masks.frPyObjects({"counts": counts, "size": list(size)}, *size)
    return {**runs, "counts": runs["counts"].decode()}
