"""The config of a run: all defaults, a YAML file, the command line, and what this machine allows.

In: a YAML file and `KEY VALUE` pairs. Out: a Detectron2 config, not yet frozen.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config

from kmax_deeplab.d2.config.check import flatten_values, suggest
from kmax_deeplab.d2.config.files import read_config_file, resolve_paths
from kmax_deeplab.d2.config.keys import add_kmax_deeplab_config
from kmax_deeplab.run_stamp import flatten

NUMBER = re.compile(r"[-+.\d][-+.\deE]*,?")
INCIDENTAL = frozenset({"OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.DEVICE", "DATALOADER.NUM_WORKERS"})
"""Keys whose value does not change what a run computes."""


def load_config(config_file: str | Path, options: Sequence[str] = ()) -> CfgNode:
    """Merges Detectron2's defaults and ours with a YAML file, then with `KEY VALUE` pairs.

    Relative paths of weights and datasets become absolute: from the file that writes them, or from
    the working directory for those of the pairs.

    Args:
        config_file: path of a YAML file.
        options: alternating keys and values, `["SOLVER.MAX_ITER", "100"]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is no plain YAML, or a key or a value cannot be; the message names file,
            key and value.
    """
    return merge_config(read_config_file(config_file), str(config_file), options)


def merge_config(content: Mapping, origin: str, options: Sequence[str] = ()) -> CfgNode:
    """Merges Detectron2's defaults and ours with the content of a file, then with pairs.

    Args:
        content: nested mappings of plain values.
        origin: where it stands, for messages.
        options: as for `load_config`.

    Raises:
        ValueError: a key or a value cannot be.
    """
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    if (version := content.get("VERSION", cfg.VERSION)) != cfg.VERSION:
        raise ValueError(f"{origin}: VERSION {version} is unknown; use {cfg.VERSION}")
    with _named(origin, cfg):
        cfg.merge_from_other_cfg(CfgNode(dict(content)))
    _merge_words(cfg, list(options))
    resolve_paths(cfg, Path.cwd())
    return cfg


def _merge_words(cfg: CfgNode, words: list[str]) -> None:
    known = flatten_values(cfg)
    for position, key in enumerate(words):
        before = words[max(position - 2, 0) : position]
        if position % 2 == 0 and key not in known:
            if len(before) == 2 and NUMBER.fullmatch(key):
                raise ValueError(
                    f"{key!r} follows {' '.join(before)} and is no key: a value of several words "
                    f'needs brackets and quotes, {before[0]} "[{before[1]}, {key}]"'
                )
            raise ValueError(f"the config has no key {key!r}{suggest(key, cfg)}")
    if len(words) % 2:
        raise ValueError(f"{words[-1]} lacks a value")
    for key, value in zip(words[::2], words[1::2], strict=True):
        with _named(f"{key} {value}", cfg):
            cfg.merge_from_list([key, value])


@contextmanager
def _named(origin: str, cfg: CfgNode) -> Iterator[None]:
    """Turns the errors of a merge into one that names where the values come from."""
    try:
        yield
    except KeyError as error:
        key = str(error.args[0]).rpartition(": ")[2]
        raise ValueError(f"{origin}: the config has no key {key!r}{suggest(key, cfg)}") from error
    except (AssertionError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def describe_changes(before: Mapping, cfg: CfgNode) -> str:
    """Lists what differs between the config that a run wrote and the one it goes on with.

    Args:
        before: read from its file.
        cfg: the config now; values are compared as they are written.

    Returns:
        A line "KEY: old → new" per difference; empty if there is none.
    """
    old, new = flatten(dict(before)), flatten(yaml.safe_load(cfg.dump()))
    return "\n".join(
        f"  {key}: {old[key]} → {new[key]}"
        for key in sorted(old.keys() & new.keys() - INCIDENTAL)
        if old[key] != new[key]
    )


def adapt_to_machine(cfg: CfgNode, num_processes: int = 1) -> list[str]:
    """Makes a config written for GPUs run where there is none, and for many cores where few are.

    Args:
        cfg: changes.
        num_processes: of the run on this machine.

    Returns:
        A sentence for each key that was changed.
    """
    changes = []
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        changes.append(f"No CUDA device here: MODEL.DEVICE {cfg.MODEL.DEVICE} becomes cpu.")
        cfg.MODEL.DEVICE = "cpu"
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED:
        changes.append("Mixed precision needs CUDA: SOLVER.AMP.ENABLED becomes False.")
        cfg.SOLVER.AMP.ENABLED = False
    if cfg.MODEL.DEVICE == "cpu" and cfg.TEST.AMP.ENABLED:
        changes.append("Mixed precision needs CUDA: TEST.AMP.ENABLED becomes False.")
        cfg.TEST.AMP.ENABLED = False
    cfg.MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT = True  # CPUs and GPUs convolve faster so
    cfg.CUDNN_BENCHMARK |= cfg.MODEL.DEVICE.startswith("cuda")  # all images have one size
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = max((cores or 1) // num_processes, 1)
    if most < cfg.DATALOADER.NUM_WORKERS:
        changes.append(
            f"{cores} cores for {num_processes} processes: DATALOADER.NUM_WORKERS "
            f"{cfg.DATALOADER.NUM_WORKERS} becomes {most}."
        )
        cfg.DATALOADER.NUM_WORKERS = most
    return changes
