"""A model as Hugging Face's hub keeps it: a folder with `config.json` and `model.safetensors`.

The JSON says what the model is; people may change it, the thresholds for instance. The weights file
says the same, as it was written, so that it alone is a checkpoint like any other.
"""

import os
from pathlib import Path

from torch import Tensor

from kmax_deeplab.checkpoint.files import EXTRAS, read_checkpoint, write_checkpoint
from kmax_deeplab.checkpoint.identity import Identity
from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.whole_files import write_json

State = dict[str, Tensor]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KIND = "kmax_deeplab"


def read_any(path: str | os.PathLike) -> dict:
    """Reads a checkpoint file as `read_checkpoint` does, or such a folder."""
    return read_pretrained(Path(path)) if Path(path).is_dir() else read_checkpoint(path)


def read_pretrained(folder: Path) -> dict:
    """Reads such a folder.

    Returns:
        As `read_checkpoint` does; what is said of the model is the JSON's.

    Raises:
        FileNotFoundError: one of both files is not there.
        ValueError: one is damaged.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}: it is no folder that save_pretrained wrote"
            )
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} holds a {type(config).__name__}, not a mapping")
    said = {key: config[key] for key in EXTRAS if key in config}
    return {**said, "model": read_checkpoint(folder / WEIGHTS)["model"]}


def write_pretrained(folder: Path, state: State, known: Identity) -> None:
    """Writes such a folder.

    Args:
        folder: may be missing.
        state: {our name: tensor}.
        known: what is known of the model.
    """
    said = known.to_json()
    write_checkpoint(folder / WEIGHTS, state, said)
    write_json(folder / CONFIG, {"model_type": KIND, **said}, indent=2)
