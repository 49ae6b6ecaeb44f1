"""The config of a run: all defaults, a YAML file, the command line, and what this machine allows.

In: a YAML file and `KEY VALUE` pairs. Out: a Detectron2 config, not yet frozen.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config

from kmax_deeplab.d2.config import add_kmax_deeplab_config
from kmax_deeplab.d2.config_paths import AnchoredConfig, resolve_paths


def load_config(config_file: str, options: Sequence[str] = ()) -> CfgNode:
    """Merges Detectron2's defaults and ours with a YAML file, then with `KEY VALUE` pairs.

    Relative paths of weights and datasets become absolute: from the file that writes them, or from
    the working directory for those of the pairs.

    Args:
        config_file: path of a YAML file.
        options: alternating keys and values, `["SOLVER.MAX_ITER", "100"]`.

    Raises:
        FileNotFoundError: there is no such file.
        KeyError, AssertionError: a key that no default knows, in the file or in the pairs.
    """
    if not Path(config_file).is_file():
        raise FileNotFoundError(f"there is no config file {config_file!r}; ours are in configs/")
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    cfg.merge_from_file(config_file)
    _take_paths(cfg, AnchoredConfig.load_yaml_with_base(str(config_file), allow_unsafe=True))
    cfg.merge_from_list(list(options))
    resolve_paths(cfg, Path.cwd())
    return cfg


def _take_paths(cfg: CfgNode, anchored: dict) -> None:
    """Replaces the paths of a config by those that know their file."""
    if "WEIGHTS" in anchored.get("MODEL", {}):
        cfg.MODEL.WEIGHTS = anchored["MODEL"]["WEIGHTS"]
    if "PANOPTIC" in anchored.get("DATASETS", {}):
        cfg.DATASETS.PANOPTIC = anchored["DATASETS"]["PANOPTIC"]


def adapt_to_machine(cfg: CfgNode) -> list[str]:
    """Makes a config written for GPUs run where there is none.

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
    if cfg.MODEL.DEVICE == "cpu" and not cfg.MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT:
        changes.append("CPUs convolve faster channels-last: CHANNEL_LAST_FORMAT becomes True.")
        cfg.MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT = True
    return changes
