"""Files: TensorFlow variables in, {variable name: array}; our state dict, a model file out.

TensorFlow itself is imported only for a checkpoint of its own; an `.npz` needs NumPy alone.
"""

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kmax_deeplab.checkpoint.tensorflow.identify import network_variables

INSTALL = "pip install -r requirements-tf.txt"
"""What makes TensorFlow importable beside this project's other libraries."""


def read_variables(path: str) -> dict[str, np.ndarray]:
    """Reads the network variables of a checkpoint.

    Args:
        path: an `.npz`; or a TensorFlow checkpoint by its prefix, its `.index` file or a folder
            that holds one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or the folder holds several checkpoints.
        ImportError: TensorFlow is needed and missing.
    """
    return _read_npz(path) if path.endswith(".npz") else _read_checkpoint(checkpoint_prefix(path))


def _read_npz(path: str) -> dict[str, np.ndarray]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path!r}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in network_variables(arrays.files).values()}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise ValueError(f"{path!r} is not an intact .npz of plain arrays: {error}") from error


def checkpoint_prefix(path: str) -> str:
    """Returns the prefix of a TensorFlow checkpoint: what its files have before `.index`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a folder holds several.
    """
    if os.path.isdir(path):
        found = sorted(str(index.with_suffix("")) for index in Path(path).glob("*.index"))
        if len(found) > 1:
            raise ValueError(f"folder {path!r} holds several checkpoints, name one of {found}")
        path = found[0] if found else os.path.join(path, "")
    prefix = path.removesuffix(".index").split(".data-")[0]
    if not os.path.isfile(f"{prefix}.index"):
        raise FileNotFoundError(
            f"there is no TensorFlow checkpoint {prefix!r}: expected {prefix}.index and "
            f"{prefix}.data-00000-of-00001 (or an .npz of its variables)"
        )
    return prefix


def _read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its greetings
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"reading the TensorFlow checkpoint {prefix!r} needs TensorFlow: {INSTALL}"
        ) from error
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = network_variables(reader.get_variable_to_shape_map()).values()
        return {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"TensorFlow cannot read all of {prefix!r}: {error}") from error


def write_model(path: str, state: dict[str, np.ndarray], known: Mapping | None = None) -> None:
    """Writes a state dict as a model file of Detectron2: whole, or not at all.

    Args:
        path: of the file.
        state: {name: array}.
        known: plain values that say what model it is (see `checkpoint.identity`).
    """
    content = {"model": state, **(known or {}), "__author__": "kMaX-DeepLab (TensorFlow)"}
    partial = f"{path}.partial"
    with open(partial, "wb") as f:
        pickle.dump(content, f, protocol=4)  # 5 would need more than arrays to be read back
    os.replace(partial, path)
