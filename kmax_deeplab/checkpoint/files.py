"""Checkpoint files: a path in, a dict with the state dict under "model" out, and back.

The format is recognised by the first bytes, not by the name. No code of a file is ever run:
torch files are read with `weights_only`, pickles by `ArrayUnpickler`.
"""

import argparse
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from kmax_deeplab.checkpoint.pickles import CORE, ArrayUnpickler, UnsafePickleError
from kmax_deeplab.whole_files import whole_file

State = dict[str, Tensor]

ZIP, PICKLE = b"PK", b"\x80"
LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""First bytes of files that PyTorch wrote before 1.6: a pickled magic number."""
MAX_SAFETENSORS_HEADER = 100_000_000
"""Bytes; the first eight of such a file give the size of its header (the format's own limit)."""
DAMAGE = (
    *(AttributeError, EOFError, ImportError, IndexError, KeyError, OSError, RuntimeError),
    *(SafetensorError, pickle.UnpicklingError),
)
"""What readers raise when bytes are missing or wrong."""
EXTRAS = ("categories", "description", "config", "provenance")
"""What this project keeps beside the state dict whatever the format: plain values."""
WRAPPERS = ("model", "state_dict")
"""Keys under which training codes keep the state dict; a file may also be one itself."""
MULTIARRAY = import_module(f"{CORE}.multiarray")
TORCH_EXTRAS = [
    argparse.Namespace,  # the options that training codes keep beside the weights
    np.dtype,
    np.ndarray,
    *(
        (getattr(MULTIARRAY, name), f"{core}.multiarray.{name}")
        for core in ("numpy.core", "numpy._core")  # as numpy 1 and numpy 2 call it
        for name in ("_reconstruct", "scalar")
    ),
    *{type(np.dtype(kind)) for kind in (*np.typecodes["AllInteger"], *np.typecodes["Float"], "?")},
]
"""Harmless types besides tensors that torch files may hold."""


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Reads a torch, safetensors or pickle file.

    Returns:
        the file's content; "model" is the state dict, {name: tensor} on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, of another kind, or would run code (`UnsafePickleError`).
    """
    path = Path(path)
    reader = _reader(path)
    try:
        content = reader(path)
    except DAMAGE as error:
        raise _damage(path, error) from error
    return _with_state_dict(content, path)


def read_lazily(path: str | os.PathLike) -> dict:
    """Reads a checkpoint as `read_checkpoint` does; tensors of a torch file when they are used."""
    path = Path(path)
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP)) == ZIP
    try:
        if not is_zip:
            return read_checkpoint(path)
        return _with_state_dict(_read_torch(path, mmap=True), path)
    except DAMAGE as error:
        raise _damage(path, error) from error


def _damage(path: Path, error: Exception) -> ValueError:
    reason = str(error).partition("\n")[0]
    return ValueError(
        f"{path} is damaged or truncated ({type(error).__name__}: {reason}): "
        "copy or download it again"
    )


def _reader(path: Path) -> Callable[[Path], object]:
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith((ZIP, LEGACY_TORCH)):
        return _read_torch
    header_size = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header_size < MAX_SAFETENSORS_HEADER:
        return _read_safetensors
    if start.startswith(PICKLE):
        return _read_pickle
    raise ValueError(f"{path} is neither a torch, nor a safetensors, nor a pickle file, or is torn")


def _read_safetensors(path: Path) -> dict:
    with safe_open(path, "pt") as file:
        notes = file.metadata() or {}
    extras = {key: json.loads(notes[key]) for key in EXTRAS if key in notes}
    return {**extras, "model": load_file(path)}


def _read_torch(path: Path, *, mmap: bool = False) -> object:
    try:
        with torch.serialization.safe_globals(TORCH_EXTRAS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise UnsafePickleError(path, refused.group(1)) from error
        raise
    except RuntimeError as error:
        if zipfile.is_zipfile(path) and not _is_torch_zip(path):
            raise ValueError(
                f"{path} is a zip file without a PyTorch checkpoint; .npz files of TensorFlow "
                "variables are read by convert-tf-weights-to-d2.py"
            ) from error
        raise


def _is_torch_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def _read_pickle(path: Path) -> object:
    with path.open("rb") as file:
        return ArrayUnpickler(file, path).load()


def _with_state_dict(content: object, path: Path) -> dict:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of parameters")
    key = next((k for k in WRAPPERS if isinstance(content.get(k), Mapping)), None)
    state = content if key is None else content[key]
    odd = [name for name, value in state.items() if not isinstance(value, Tensor | np.ndarray)]
    if odd or not state:
        what = f"entries like {odd[0]!r} are no arrays" if odd else "it is empty"
        raise ValueError(f"{path} holds no state dict: {what}; keys: {list(content)[:5]}")
    others = {} if key is None else {k: v for k, v in content.items() if k != key}
    return {**others, "model": {name: torch.as_tensor(value) for name, value in state.items()}}


def write_checkpoint(path: str | os.PathLike, state: State, extras: Mapping | None = None) -> None:
    """Writes a state dict as the suffix says: .pth, .safetensors, or .pkl of numpy arrays.

    The .pth holds {"model": state}, as the released code reads it.

    Args:
        path: of the file.
        state: {name: tensor}.
        extras: plain values to keep beside the state dict, of which those named in EXTRAS survive
            in every format.

    Raises:
        ValueError: another suffix, or a dtype that the format does not have.
    """
    path, extras = Path(path), {k: v for k, v in (extras or {}).items() if k in EXTRAS}
    if path.suffix not in WRITERS:
        raise ValueError(f"{path}: write to one of {', '.join(WRITERS)}")
    state = {name: v.detach().contiguous() for name, v in state.items()}
    with whole_file(path) as partial:
        WRITERS[path.suffix](state, extras, partial)


def _write_torch(state: State, extras: Mapping, path: Path) -> None:
    torch.save({"model": state, **extras}, path)


def _write_safetensors(state: State, extras: Mapping, path: Path) -> None:
    notes = {"format": "pt", **{key: json.dumps(value) for key, value in extras.items()}}
    # `save_file` would write a file that nobody else may read.
    path.write_bytes(save({name: value.clone() for name, value in state.items()}, notes))


def _write_pickle(state: State, extras: Mapping, path: Path) -> None:
    if any(value.dtype == torch.bfloat16 for value in state.values()):
        raise ValueError("numpy has no bfloat16: write .pth or .safetensors, or use float16")
    arrays = {name: value.numpy() for name, value in state.items()}
    with path.open("wb") as file:
        pickle.dump({"model": arrays, **extras, "__author__": "kmax_deeplab"}, file)


WRITERS = {".pth": _write_torch, ".safetensors": _write_safetensors, ".pkl": _write_pickle}
"""How to write a file, by its suffix."""
