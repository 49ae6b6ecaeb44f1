"""Names of released checkpoints."""

import pytest
import torch
from detectron2.modeling import build_model

from kmax_deeplab.checkpoint.released import from_released, to_released
from kmax_deeplab.modeling.initial import Undrawn
from tests.d2.config.test_keys import config
from tests.golden import released

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("file", sorted(released.read("manifest.json.gz")))
def test_a_model_has_exactly_the_entries_of_the_released_checkpoint(file):
    with torch.device("meta"), Undrawn():
        model = build_model(config("MODEL.DEVICE", "meta", file=file))
    ours = {name: list(value.shape) for name, value in model.state_dict().items()}
    theirs = {from_released(n): s for n, s in released.read("manifest.json.gz")[file].items()}
    assert ours == theirs


@pytest.mark.parametrize("file", sorted(released.read("manifest.json.gz")))
def test_translation_loses_no_name_and_leaves_ours_alone(file):
    names = released.read("manifest.json.gz")[file]
    ours = {from_released(name) for name in names}
    assert len(ours) == len(names)
    assert {from_released(name) for name in ours} == ours


@pytest.mark.parametrize("file", sorted(released.read("manifest.json.gz")))
def test_released_names_to_ours_and_back_are_the_same(file):
    names = released.read("manifest.json.gz")[file]
    assert {to_released(from_released(name)): shape for name, shape in names.items()} == names
    assert all(to_released(name) == name for name in names)


def test_the_resnet_50_model_has_the_published_number_of_parameters():
    with torch.device("meta"), Undrawn():
        file = "coco/panoptic_segmentation/kmax_r50.yaml"
        model = build_model(config("MODEL.DEVICE", "meta", file=file))
    count = {name: p.numel() for name, p in model.named_parameters()}
    assert sum(count.values()) == 72_436_862
    in_use = (n for name, n in count.items() if "auxiliary_semantic_predictor" not in name)
    assert sum(in_use) == 56_580_120
