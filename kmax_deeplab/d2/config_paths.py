"""Relative paths in config files: they belong to the file that writes them.

In: a YAML file with its bases. Out: the values of its paths, absolute. Paths of the command line
are relative to the working directory, as anyone expects.
"""

from collections.abc import Mapping
from pathlib import Path

from detectron2.config import CfgNode

PLACES = ("images", "json", "pngs")
"""Paths in an entry of DATASETS.PANOPTIC."""


def resolve(path: str, folder: Path) -> str:
    """Makes a path absolute; addresses (with "://"), "~" and the empty path stay as they are."""
    if not path or "://" in path or path.startswith("~"):
        return path
    return str((folder / path).absolute())


def resolve_paths(config: Mapping, folder: Path) -> None:
    """Resolves `MODEL.WEIGHTS` and the places in `DATASETS.PANOPTIC`, as far as they are there."""
    if config.get("MODEL", {}).get("WEIGHTS"):
        config["MODEL"]["WEIGHTS"] = resolve(config["MODEL"]["WEIGHTS"], folder)
    for entry in config.get("DATASETS", {}).get("PANOPTIC", []):
        if isinstance(entry, dict):
            entry.update({k: resolve(str(entry[k]), folder) for k in PLACES if k in entry})


class AnchoredConfig(CfgNode):
    """Detectron2's reader of config files, with the paths of every file resolved."""

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict:
        """Reads a file and, by the same method, its bases."""
        config = super().load_yaml_with_base(filename, allow_unsafe=allow_unsafe)
        resolve_paths(config, Path(filename).parent)
        return config
