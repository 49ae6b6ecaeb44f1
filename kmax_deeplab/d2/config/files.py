"""Config files: a YAML file with its bases enters, plain values with absolute paths leave.

Only plain YAML is read: no tag of a file runs code, and bases are files beside it, no addresses.
Relative paths belong to the file that writes them; those of the command line to the working
directory, as anyone expects.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import yaml

BASE = "_BASE_"
PLACES = ("images", "json", "pngs")
"""Paths in an entry of DATASETS.PANOPTIC."""


def resolve(path: str, folder: Path) -> str:
    """Makes a path absolute; addresses (with "://"), "~" and the empty path stay as they are."""
    if not path or "://" in path or path.startswith("~"):
        return path
    return str((folder / path).absolute())


def resolve_paths(config: Mapping, folder: Path) -> None:
    """Resolves `MODEL.WEIGHTS` and the places in `DATASETS.PANOPTIC`, as far as they are there."""
    model, datasets = config.get("MODEL"), config.get("DATASETS")
    if isinstance(model, Mapping) and isinstance(model.get("WEIGHTS"), str):
        model["WEIGHTS"] = resolve(model["WEIGHTS"], folder)
    entries = datasets.get("PANOPTIC") if isinstance(datasets, Mapping) else None
    for entry in entries if isinstance(entries, Sequence) else ():
        if isinstance(entry, dict):
            entry.update({k: resolve(str(entry[k]), folder) for k in PLACES if k in entry})


def read_config_file(path: str | Path, seen: tuple[Path, ...] = ()) -> dict:
    """Reads a config file and, below its values, those of its bases.

    Args:
        path: of the file.
        seen: files that name this one as a base.

    Returns:
        Nested mappings of plain values; paths are absolute.

    Raises:
        FileNotFoundError: there is no such file, or no such base.
        ValueError: it is no plain YAML, names an address as a base, or bases form a circle.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        by = f" ({BASE} of {seen[-1]})" if seen else "; ours are in configs/"
        raise FileNotFoundError(f"there is no config file {str(path)!r}{by}")
    if path.resolve() in seen:
        circle = " → ".join(map(str, (*seen, path)))
        raise ValueError(f"{path} is a base of itself: {circle}")
    config = read_config_text(path.read_bytes(), str(path))
    bases = config.pop(BASE, [])
    resolve_paths(config, path.parent)
    below: dict = {}
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str) or "://" in base:
            raise ValueError(f"{path}: {BASE} {base!r} must be a file on this machine")
        place = path.parent / Path(base).expanduser()
        _lay_over(below, read_config_file(place, (*seen, path.resolve())))
    return _lay_over(below, config)


def read_config_text(text: str | bytes, origin: str) -> dict:
    """Reads a config without bases from a text.

    Args:
        text: plain YAML; bytes are UTF-8.
        origin: where it stands, for messages.

    Raises:
        ValueError: it is no plain YAML.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        content = yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{origin}: no plain YAML ({error})") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ValueError(f"{origin}: holds a {type(content).__name__}, not KEY: VALUE pairs")
    return content


def _lay_over(below: dict, above: Mapping) -> dict:
    """Puts values over others, mapping by mapping; returns `below`, which is changed."""
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value
    return below


class _PlainLoader(yaml.SafeLoader):
    """Reads plain values; a key that a mapping has twice is an error and not the last one's."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, (written, _) in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", written.start_mark
                )
        return super().construct_mapping(node, deep)
