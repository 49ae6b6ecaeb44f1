"""Checkpoints of the official TensorFlow zoo: {variable name: array} in, our state dict out.

Nothing but the variables decides which model it is. The zoo's functions differ from the released
PyTorch ones: the result computes what TensorFlow does with configs/*/*/tf_kmax_*.yaml only.
"""

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np

from kmax_deeplab.checkpoint.tensorflow.encoders import BACKBONES
from kmax_deeplab.checkpoint.tensorflow.zoo import DATASETS, ZooModel, entries

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
BOOKKEEPING = ("_CHECKPOINTABLE_OBJECT_GRAPH", "global_step", "save_counter", "optimizer")
"""First components of names that hold no part of the network."""

OPTIMIZER_SLOT = ".OPTIMIZER_SLOT"
CENTERS = "transformer_decoder/cluster_centers"

Shapes = Mapping[str, tuple[int, ...]]


def network_variables(names: Iterable[str]) -> dict[str, str]:
    """Returns the names of a checkpoint's network variables by their names without suffix.

    Raises:
        ValueError: two names differ in the suffix only.
    """
    used = [n for n in names if n.split("/")[0] not in BOOKKEEPING and OPTIMIZER_SLOT not in n]
    by_short_name = {name.removesuffix(SUFFIX): name for name in used}
    if len(by_short_name) < len(used):
        twice = sorted(set(used) - set(by_short_name.values()))
        raise ValueError(f"variables occur with and without {SUFFIX!r}: {_some(twice)}")
    return by_short_name


def identify(shapes: Shapes) -> ZooModel:
    """Tells which model of the zoo has exactly these variables.

    Args:
        shapes: shape of each network variable, by its name without suffix.

    Raises:
        ValueError: no model has; the message names the closest one and what differs from it.
    """
    centers = tuple(shapes.get(CENTERS, ()))
    num_queries = centers[1] if len(centers) == 3 else 128
    models = (ZooModel(*pair, num_queries) for pair in product(DATASETS, BACKBONES))
    closest, differences = min(
        ((model, _differences(model, shapes)) for model in models), key=lambda pair: len(pair[1])
    )
    if not differences:
        return closest
    expected = {entry.theirs for entry in entries(closest)}
    if len(expected & shapes.keys()) < len(expected) / 2:
        raise ValueError(
            "this is no checkpoint of a kMaX-DeepLab of the TensorFlow zoo: it has "
            f"{len(shapes)} network variables, {_some(sorted(shapes))}; "
            f"expected names such as {CENTERS!r}"
        )
    raise ValueError(
        f"the checkpoint is closest to {closest}, but {len(differences)} of its variables do not "
        f"fit: {_some(differences)}"
    )


def _differences(model: ZooModel, shapes: Shapes) -> list[str]:
    expected = {entry.theirs: entry.shape for entry in entries(model)}
    wrong = {n for n in expected.keys() & shapes.keys() if tuple(shapes[n]) != expected[n]}
    return [
        *(f"{name} is missing" for name in sorted(expected.keys() - shapes.keys())),
        *(f"{name} is unexpected" for name in sorted(shapes.keys() - expected.keys())),
        *(f"{n} has shape {tuple(shapes[n])}, expected {expected[n]}" for n in sorted(wrong)),
    ]


def _some(items: list[str], limit: int = 8) -> str:
    more = f"; … and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more


def model_of(variables: Mapping[str, np.ndarray]) -> ZooModel:
    """Tells which model of the zoo a checkpoint is; arguments and errors as `from_tensorflow`."""
    names = network_variables(variables)
    return identify({name: np.shape(variables[full]) for name, full in names.items()})


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts a whole checkpoint.

    Args:
        variables: array of each variable; names with or without suffix, bookkeeping is ignored.

    Returns:
        float32 array of each entry of our state dict, and int64 0 for the batch counters of norms.

    Raises:
        ValueError: a variable is missing, left over, of another shape or not a floating point.
    """
    names, state = network_variables(variables), {}
    for entry in entries(model_of(variables)):
        array = np.asarray(variables[names[entry.theirs]])
        if array.dtype.kind != "f":
            raise ValueError(f"{entry.theirs} has dtype {array.dtype}, expected a floating point")
        if not np.isfinite(array).all():
            raise ValueError(f"{entry.theirs} has values that are not finite")
        state[entry.ours] = np.ascontiguousarray(entry.layout(array), np.float32)
    counters = [
        n.replace("running_mean", "num_batches_tracked") for n in state if "running_mean" in n
    ]
    return state | {name: np.zeros((), np.int64) for name in counters}
