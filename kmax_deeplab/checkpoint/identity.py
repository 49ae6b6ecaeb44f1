"""What a checkpoint says about its model: a path enters, classes, description and config leave.

Checkpoints of this project hold beside the weights, under plain keys: "categories", the list that a
COCO-panoptic JSON holds under that name, in the order of the model's outputs; "description", from
which the model can be built (`model.description`); "config", the YAML of the run that made it;
"provenance", notes by their titles on where it comes from and how good it is.
Released files have the classes of the benchmark that has so many. Those of others do not say.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from kmax_deeplab.checkpoint.files import WRAPPERS, read_lazily
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.published import categories_by_count
from kmax_deeplab.model.description import ModelDescription

RELEASED_CLASSES = re.compile(
    r"sem_seg_head\.predictor\._predcitor\._transformer_class_head\.conv\.bias"
)
"""Entry of released files with a value for each class, void among them."""


@dataclass(frozen=True)
class Identity:
    """What is known of a model; each is None where the checkpoint does not say.

    Attributes:
        categories: its classes in the order of its outputs.
        description: what it is made of.
        config: YAML of the run that made it.
        provenance: where it comes from and how good it is, texts by their titles.
    """

    categories: Categories | None = None
    description: ModelDescription | None = None
    config: str | None = None
    provenance: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values by the keys of a checkpoint; what is not known is left out."""
        values = {
            "categories": self.categories and self.categories.to_json(),
            "description": self.description and self.description.to_json(),
            "config": self.config,
            "provenance": self.provenance and dict(self.provenance),
        }
        return {key: value for key, value in values.items() if value}


def identity_of(model: nn.Module, config: str | None = None) -> Identity:
    """Returns what a model knows of itself."""
    known = (getattr(model, name, None) for name in ("categories", "description"))
    return Identity(*known, config)


def read_identity(path: str | os.PathLike) -> Identity:
    """Reads what a checkpoint says about its model, without its weights where the format allows it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, unsafe, or says what cannot be.
    """
    return identity_in(read_lazily(path), path)


def identity_in(content: Mapping, path: str | os.PathLike) -> Identity:
    """Reads what the content of a checkpoint says about its model.

    Raises:
        ValueError: it says what cannot be.
    """
    listed, described = content.get("categories"), content.get("description")
    config, provenance = content.get("config"), content.get("provenance")
    try:
        categories = Categories.from_json(listed) if listed is not None else None
        description = described and ModelDescription.from_json(described)
        if not isinstance(config, str | None):
            raise ValueError(f"its config is {config!r}, no text")
        if not _are_notes(provenance):
            raise ValueError(f"its provenance is {provenance!r}, no texts by their titles")
        if description and categories and len(categories) != description.head.num_classes:
            raise ValueError(
                f"{len(categories)} categories, but {description.head.num_classes} classes"
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: what it says about its model cannot be ({error})") from error
    classes = categories or _released_classes(content)
    return Identity(classes, description or None, config, provenance or None)


def _are_notes(provenance: object) -> bool:
    if provenance is None:
        return True
    is_mapping = isinstance(provenance, Mapping)
    return is_mapping and all(isinstance(x, str) for pair in provenance.items() for x in pair)


def _released_classes(content: Mapping) -> Categories | None:
    states = [content, *(content[key] for key in WRAPPERS if key in content)]
    for state in states:
        for name in state:
            if RELEASED_CLASSES.fullmatch(str(name)):
                return categories_by_count(len(state[name]) - 1)
    return None
