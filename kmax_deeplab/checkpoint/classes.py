"""The classes of a model in its checkpoint: a path enters, the categories beside the weights leave.

Checkpoints of this project hold, under "categories", the list that a COCO-panoptic JSON holds under
that name, in the order of the model's outputs. Those of others do not say what their classes are.
"""

import os
from collections.abc import Mapping

from kmax_deeplab.checkpoint.files import read_extras
from kmax_deeplab.data.format.categories import Categories

KEY = "categories"


def read_classes(path: str | os.PathLike) -> Categories | None:
    """Returns the classes of a checkpoint, without reading its weights where the format allows it.

    Returns:
        None if the checkpoint does not say.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, unsafe, or its categories are none.
    """
    return classes_in(read_extras(path), path)


def classes_in(content: Mapping, path: str | os.PathLike) -> Categories | None:
    """Returns the classes that the content of a checkpoint names; None if it names none.

    Raises:
        ValueError: they are none.
    """
    listed = content.get(KEY)
    if listed is None:
        return None
    try:
        return Categories.from_json(listed)
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: its {KEY!r} are not a model's classes ({error})") from error
