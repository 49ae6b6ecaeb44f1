"""The config of a dataset: which parts it has and where its images lie, beside its labels."""

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from kmax_deeplab.data.format.writer import JSON, PNGS
from kmax_deeplab.whole_files import write_text

FRAGMENT = "dataset.yaml"
"""Lies beside the JSON, or beside the folders of the parts: a config with the keys of DATASETS."""


def write_fragment(folder: Path, name: str, images: Path, parts: Sequence[str]) -> None:
    """Writes the config that names the parts of a dataset.

    Args:
        folder: of the dataset; places in the config are relative to it.
        name: of the dataset, with which those of its parts begin.
        images: folder of the images.
        parts: folders of the parts; "" is the whole.
    """
    entries = {part: f"{name}_{part}".strip("_") for part in parts}
    listed = [
        {
            "name": entry,
            "images": os.path.relpath(images, folder),
            "json": (Path(part) / JSON).as_posix(),
            "pngs": (Path(part) / PNGS).as_posix(),
        }
        for part, entry in entries.items()
    ]
    datasets = {
        "PANOPTIC": listed,
        "TRAIN": [entry for part, entry in entries.items() if part == "train"],
        "TEST": [entry for part, entry in entries.items() if part == "val"],
    }
    text = yaml.safe_dump({"DATASETS": datasets}, sort_keys=False, allow_unicode=True)
    write_text(folder / FRAGMENT, text)
