"""Pretrained weights by timm's names: a local file if there is one, else timm's download.

`timm://NAME` is looked for as NAME.safetensors, .pth, .pkl or .bin in the folder that the
environment variable KMAX_WEIGHTS names; then in the cache of Hugging Face's hub, which timm fills;
then on the network.
"""

import difflib
import logging
import os
from pathlib import Path

import timm
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

logger = logging.getLogger(__name__)

FOLDER = "KMAX_WEIGHTS"
"""Environment variable: a folder of weights files."""
SUFFIXES = (".safetensors", ".pth", ".pkl", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights on the hub, the best first."""


def find_timm_weights(name: str) -> Path:
    """Returns a local file with the weights that timm knows under a name.

    Args:
        name: of a model of timm, with or without the tag of its weights.

    Raises:
        FileNotFoundError: there is neither a local file nor a network; says what to put where.
        ValueError: timm has no such weights; says which names are near.
    """
    found = _in_folder(name)
    return found if found else _from_hub(name, _repository(name))


def find_local_weights(name: str) -> Path | None:
    """Returns the file that `timm://NAME` stands for if it is here already; asks no network.

    Args:
        name: as for `find_timm_weights`.

    Raises:
        ValueError: as there.
    """
    if found := _in_folder(name):
        return found
    cached = (try_to_load_from_cache(_repository(name), file) for file in HUB_FILES)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _in_folder(name: str) -> Path | None:
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    candidates = [Path(folder, name + suffix) for suffix in SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def _repository(name: str) -> str:
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # the model exists, the tag does not
        config = None
    if config is None or not config.hf_hub_id:
        names = timm.list_models(pretrained=True) + timm.list_models()
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
        raise ValueError(f"timm has no weights {name!r}; names like it: {near}")
    return config.hf_hub_id


def _from_hub(name: str, repository: str) -> Path:
    for file in HUB_FILES:
        try:
            return Path(hf_hub_download(repository, file))
        except LocalEntryNotFoundError as error:  # a kind of EntryNotFoundError
            raise _unreachable(name, repository) from error
        except EntryNotFoundError:
            logger.info(f"{repository} has no {file}")
        except (HfHubHTTPError, OSError) as error:
            raise _unreachable(name, repository) from error
    raise ValueError(f"{repository} on the hub has none of {HUB_FILES}")


def _unreachable(name: str, repository: str) -> FileNotFoundError:
    folder = os.environ.get(FOLDER) or f"a folder that {FOLDER} names"
    return FileNotFoundError(
        f"timm://{name} is neither here nor can it be downloaded. Where there is a network, get "
        f"https://huggingface.co/{repository}/resolve/main/{HUB_FILES[0]} and put it as "
        f"{name}{SUFFIXES[0]} into {folder}"
    )
