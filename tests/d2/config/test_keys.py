"""The config: released values, and no key that nobody reads."""

import inspect
import re
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config

from kmax_deeplab import add_kmax_deeplab_config
from kmax_deeplab.d2.config.check import CHOICES, validate
from kmax_deeplab.d2.config.keys import LEGACY_KEYS, LOSS_KEYS
from tests.golden import released

ROOT = Path(__file__).parents[3]
OWN_DATA = set((ROOT / "configs" / "custom").rglob("*.yaml"))
"""Configs for data of which nobody knows the PQ."""


def config(*options: str, file: str | None = None) -> CfgNode:
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    if file:
        cfg.merge_from_file(str(ROOT / "configs" / file))
    cfg.merge_from_list(list(options))
    return cfg


def flat(node: CfgNode, prefix: str = "") -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in node.items():
        if isinstance(value, CfgNode):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = list(value) if isinstance(value, tuple) else value
    return values


@pytest.mark.parametrize("file", sorted(released.read("configs.json.gz")))
def test_every_value_of_a_released_config_is_the_same(file):
    ours, theirs = flat(config(file=file)), released.read("configs.json.gz")[file]
    assert {key: ours.get(key) for key in theirs} == theirs


def test_every_key_we_add_is_read_somewhere():
    detectron2 = get_cfg()
    add_deeplab_config(detectron2)
    added = flat(config()).keys() - flat(detectron2).keys()
    checks = [ROOT / "kmax_deeplab/d2/config" / name for name in ("keys.py", "check.py")]
    files = [p for p in (ROOT / "kmax_deeplab").rglob("*.py") if p not in checks]
    source = "\n".join(
        [p.read_text() for p in files] + [inspect.getsource(validate), str(list(CHOICES))]
    )
    unread = {key for key in added if not re.search(rf"\.{key.split('.')[-1]}\b", source)}
    shadowed = {"MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS"}  # ConvNeXt's key has the same last part
    unread |= {key for key in shadowed if ".".join(key.split(".")[-2:]) not in source}
    read_by_name = {f"MODEL.KMAX_DEEPLAB.{key}" for key in LOSS_KEYS.values()}
    assert unread - read_by_name == set(LEGACY_KEYS)


def test_leaf_configs_hold_differences_only():
    for path in set((ROOT / "configs").glob("*/panoptic_segmentation/*.yaml")) - OWN_DATA:
        text = path.read_text()
        assert len(text.splitlines()) <= 30, path
        figure = r"[\d.]+ on the validation set|not published for this port|of the TensorFlow .*"
        first = rf"# Expected: PQ ({figure})\. Cost: \d"
        assert re.match(first, text), f"{path} does not open with its PQ and its cost"
        assert f"--config-file {path.relative_to(ROOT)} " in text, f"{path} has another's command"


@pytest.mark.parametrize("size", [[1281, 1281], [1025, 2049], [640, 640], [97, 129]])
def test_sizes_of_32k_and_32k_plus_1_are_accepted(size):
    validate(config("INPUT.IMAGE_SIZE", str(size), "INPUT.FORMAT", "RGB"))


@pytest.mark.parametrize("size", [[1282, 1281], [100, 100], [1, 33], [129]])
def test_other_sizes_are_refused_with_a_size_that_works(size):
    with pytest.raises(ValueError, match=r"INPUT.IMAGE_SIZE .* 32k \+ 1 .* e\.g\."):
        validate(config("INPUT.IMAGE_SIZE", str(size), "INPUT.FORMAT", "RGB"))


def test_an_unknown_mapper_is_refused_with_the_accepted_names():
    with pytest.raises(ValueError, match=r"INPUT.DATASET_MAPPER_NAME 'coco'.*panoptic_lsj"):
        validate(config("INPUT.DATASET_MAPPER_NAME", "coco"))


def test_an_unknown_part_to_begin_anew_is_refused_with_the_accepted_ones():
    with pytest.raises(ValueError, match=r"REINITIALIZE names \['heads'\]; .*'classes'"):
        validate(config("MODEL.KMAX_DEEPLAB.REINITIALIZE", "['heads']", "INPUT.FORMAT", "RGB"))
