"""What is seen in an image in the forms of other libraries, each imported when it is asked for.

from kmax_deeplab.predict.conversions import to_supervision

detections = to_supervision(predict("photo.jpg"))
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.predict.prediction import PredictedImage, PredictedSegment

if TYPE_CHECKING:
    import fiftyone
    import supervision

NOTHING = -1
"""What transformers fills the map with where no segment is found at all; void beside segments is
0."""


def to_transformers(seen: PredictedImage) -> dict:
    """Returns what `post_process_panoptic_segmentation` of transformers' image processors does.

    Returns:
        "segmentation", (H, W) int32 segment ids, and "segments_info" with "id", "label_id" (index
        of the class), "was_fused" (whether it is all there is of a stuff class) and "score".
    """
    panoptic = seen.panoptic if seen.segments else np.full_like(seen.panoptic, NOTHING)
    return {
        "segmentation": torch.from_numpy(panoptic.astype(np.int32)),
        "segments_info": [
            {
                "id": segment.id,
                "label_id": segment.category_id,
                "was_fused": not segment.isthing,
                "score": round(segment.score, 6),
            }
            for segment in seen.segments
        ],
    }


def to_supervision(seen: PredictedImage) -> "supervision.Detections":
    """Returns all segments as `supervision.Detections`, things and stuff.

    The masks are (N, H, W) bool: leave the stuff out by `detections[detections.data["isthing"]]`.

    Raises:
        ModuleNotFoundError: supervision is not installed.
    """
    library, segments = _library("supervision"), seen.segments
    masks = [seen.panoptic == segment.id for segment in segments]
    return library.Detections(
        xyxy=np.array([s.box for s in segments], np.float32).reshape(-1, 4),
        mask=np.stack(masks) if masks else np.zeros((0, *seen.panoptic.shape), bool),
        confidence=np.array([s.score for s in segments], np.float32),
        class_id=np.array([s.category_id for s in segments], int),
        data={
            "class_name": np.array([s.name for s in segments], str),
            "isthing": np.array([s.isthing for s in segments], bool),
            "segment_id": np.array([s.id for s in segments], int),
        },
    )


def to_fiftyone_detections(seen: PredictedImage) -> "fiftyone.Detections":
    """Returns the things as `fiftyone.Detections`, each with its mask in its relative box.

    Raises:
        ModuleNotFoundError: FiftyOne is not installed.
    """
    library = _library("fiftyone")
    height, width = seen.panoptic.shape

    def detection(segment: PredictedSegment) -> object:
        left, top, right, bottom = segment.box
        return library.Detection(
            label=segment.name,
            bounding_box=[
                *(left / width, top / height),
                *((right - left) / width, (bottom - top) / height),
            ],
            mask=seen.panoptic[top:bottom, left:right] == segment.id,
            confidence=segment.score,
            index=segment.id,
        )

    return library.Detections(detections=[detection(s) for s in seen.segments if s.isthing])


def to_fiftyone_segmentation(seen: PredictedImage) -> "fiftyone.Segmentation":
    """Returns the class of every pixel as `fiftyone.Segmentation`: 1 + its index, 0 where void.

    Raises:
        ModuleNotFoundError: FiftyOne is not installed.
    """
    dtype = np.uint8 if len(seen.categories) <= np.iinfo(np.uint8).max else np.uint16
    classes = np.zeros(int(seen.panoptic.max()) + 1, dtype)
    for segment in seen.segments:
        classes[segment.id] = segment.category_id + 1
    return _library("fiftyone").Segmentation(mask=classes[seen.panoptic])


def fiftyone_mask_targets(categories: Categories) -> dict[int, str]:
    """Returns the `default_mask_targets` of a FiftyOne dataset for `to_fiftyone_segmentation`."""
    return dict(enumerate(categories.names, start=1))


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f"this form needs {name}, which is not installed: pip install {name} (the extra "
            f"`{name}` of kmax-deeplab)",
            name=name,
        ) from error
