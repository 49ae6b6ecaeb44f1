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
