"""Pickles of arrays: reads plain containers and numpy arrays, and nothing that would run code."""

import pickle
import re
from pathlib import Path

import numpy as np

ALLOWED = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""What a pickle of arrays refers to, as numpy 1 and numpy 2 call it."""
CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
"""What this numpy calls it."""


class UnsafePickleError(ValueError):
    """A file holds something else than arrays, which only running its code would restore."""

    def __init__(self, path: object, reference: str):
        super().__init__(
            f"{path} refers to {reference}: restoring that would run code of the file. Only arrays "
            "in plain containers are read; have its author save a state dict (.safetensors)"
        )


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays, numbers, strings, lists, tuples and dicts.

    Args:
        file: opened for reading bytes.
        path: its name, for messages.
    """

    def __init__(self, file, path: Path):
        super().__init__(file, encoding="latin1")  # Python 2 wrote the oldest zoo files
        self.path = path

    def find_class(self, module: str, name: str) -> object:
        """Looks up one of `ALLOWED`.

        Raises:
            UnsafePickleError: it is another function or class.
        """
        if (module, name) not in ALLOWED:
            raise UnsafePickleError(self.path, f"{module}.{name}")
        # Whichever numpy wrote the file, this one reads it.
        module = re.sub(r"^numpy\._?core\b", CORE, module)
        return super().find_class(module, name)
