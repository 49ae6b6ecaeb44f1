"""Cityscapes' label and instance ids: PNGs enter, maps of ids leave, or a refusal of other numbers.

The benchmark numbers its classes twice: by ids (0 to 33, road is 7), of which its annotations, the
panoptic dataset and the official figures are made, and by train ids (0 to 18 and 255, road is 0),
for networks to learn. A file of one kind under the name of the other makes another dataset.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from kmax_deeplab.data.convert.label_values import read_values
from kmax_deeplab.data.format.published import published_categories

REMEDY = "unpack gtFine_trainvaltest.zip again"
LAST_ID, FIRST_COUNTED = 33, 24
"""Ids of the last class and of the first whose objects are counted; labels.py of the official
cityscapesScripts."""
PER_CLASS = 1000
"""An object's id is its class times this, plus a number; smaller ones are classes alone."""
LAST_TRAIN_ID, VOID = 18, 255
MOST_DIFFERENT = 0.01
"""Share of an image in which label and instance ids may name other classes."""


def read_ids(path: Path) -> np.ndarray:
    """Reads label or instance ids, (H, W) int32.

    Raises:
        ValueError: the file is damaged, or holds other numbers; the message names it.
    """
    ids = read_values(path)
    strange = [value for value in np.unique(ids).tolist() if not _is_id(value)]
    if strange:
        is_train = any(v == VOID or 0 < v // PER_CLASS <= LAST_TRAIN_ID for v in strange)
        kind = "train ids (0 to 18, 255)" if is_train else "numbers that are no ids of Cityscapes"
        raise ValueError(f"{path} holds {kind}, e.g. {strange[:5]}; ids are needed: {REMEDY}")
    return ids


def require_ids(instances: Path, labels: Path) -> None:
    """Refuses an image whose instance ids, or label ids if there are some, are none.

    Raises:
        ValueError: naming the file.
    """
    ids = read_ids(instances)
    if not labels.is_file():
        return
    classes, named = np.where(ids < PER_CLASS, ids, ids // PER_CLASS), read_ids(labels)
    differ = (classes != named).mean() if classes.shape == named.shape else 1.0
    if differ > MOST_DIFFERENT:
        raise ValueError(
            f"{labels} names other classes than {instances.name} in {differ:.0%} of the pixels: "
            f"one is of another image or holds train ids; {REMEDY}"
        )


def require_any_id(segments: Iterable[Mapping], folder: Path) -> None:
    """Refuses a split in which no class is found that only ids can name.

    Args:
        segments: of all its images, with "category_id".
        folder: of the split, for the message.

    Raises:
        ValueError: all classes may as well be train ids.
    """
    if not any(segment["category_id"] > LAST_TRAIN_ID for segment in segments):
        raise ValueError(
            f"{folder}: no image shows a class above {LAST_TRAIN_ID}, neither vegetation nor sky "
            f"nor a car: *_instanceIds.png hold train ids, ids are needed; {REMEDY}"
        )


def to_train_ids(ids: np.ndarray) -> np.ndarray:
    """Replaces label ids, (H, W), by train ids, (H, W) uint8."""
    train_ids = np.full(LAST_ID + 1, VOID, np.uint8)
    evaluated = list(published_categories("cityscapes").ids)
    train_ids[evaluated] = range(len(evaluated))
    return train_ids[ids]


def _is_id(value: int) -> bool:
    number = value // PER_CLASS or value
    return (0 if value < PER_CLASS else FIRST_COUNTED) <= number <= LAST_ID
