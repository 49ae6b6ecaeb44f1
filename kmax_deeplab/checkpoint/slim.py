"""What prediction needs of a checkpoint: weights and what is said of their model enter, both leave
without what only a training needs.

That is the auxiliary semantic head, the counters of the norms, and in the config the places of one
machine.
"""

import re
from dataclasses import replace

import yaml
from torch import Tensor

from kmax_deeplab.checkpoint.fit import COUNTER
from kmax_deeplab.checkpoint.identity import Identity
from kmax_deeplab.checkpoint.parts import SEMANTIC
from kmax_deeplab.model.description import ModelDescription

State = dict[str, Tensor]

TRAINING = re.compile(rf"{SEMANTIC}|\.{COUNTER}$")
"""Entries that prediction never reads, under our names."""
OF_ONE_MACHINE = {
    "MODEL.WEIGHTS": "",
    "MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_WEIGHT": 0.0,
    "DATASETS.PANOPTIC": [],
    "DATASETS.TRAIN": [],
    "DATASETS.TEST": [],
    "OUTPUT_DIR": "./output",
}
"""Values of a config that can be used anywhere: no semantic head, no data, no path."""


def slim(state: State, known: Identity) -> tuple[State, Identity]:
    """Leaves out what prediction does not need.

    Args:
        state: {our name: tensor}.
        known: what the checkpoint says about its model.
    """
    kept = {name: value for name, value in state.items() if not TRAINING.search(name)}
    return kept, replace(
        known,
        description=known.description and _without_semantic(known.description),
        config=known.config and _anywhere(known.config),
    )


def _without_semantic(description: ModelDescription) -> ModelDescription:
    return replace(description, head=replace(description.head, semantic=None))


def _anywhere(config: str) -> str:
    content = yaml.safe_load(config)
    for key, value in OF_ONE_MACHINE.items():
        *parents, last = key.split(".")
        node = content
        for parent in parents:
            node = node.get(parent, {})
        if last in node:
            node[last] = value
    return yaml.safe_dump(content)
