"""Checkpoints of the TensorFlow zoo: told by their variables, converted completely or refused."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from kmax_deeplab.checkpoint.tensorflow.identify import (
    SUFFIX,
    from_tensorflow,
    identify,
    network_variables,
)
from kmax_deeplab.checkpoint.tensorflow.zoo import ZooModel, class_order, entries
from kmax_deeplab.modeling.initial import Undrawn
from tests.d2.config.test_keys import config
from tests.golden import released

pytestmark = pytest.mark.slow

MANIFESTS = {
    name: {variable: tuple(shape) for variable, shape in shapes.items()}
    for name, shapes in released.read("tf_manifest.json.gz").items()
}
COCO = "coco_kmax_meta_convnext_tiny_os32"
BACKBONES = {"axial_r50": "maxs"}


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that take no memory."""
    return np.broadcast_to(np.float32(0), shape)


def checkpoint(name: str = COCO) -> dict[str, np.ndarray]:
    return {variable: zeros(shape) for variable, shape in MANIFESTS[name].items()}


def identified(name: str) -> ZooModel:
    shapes = MANIFESTS[name]
    return identify({short: shapes[full] for short, full in network_variables(shapes).items()})


@pytest.mark.parametrize("name", MANIFESTS)
def test_dataset_backbone_and_queries_are_read_from_the_variables(name):
    dataset, backbone = name.split("_kmax_meta_")
    backbone = backbone.split("_os32")[0]
    queries = 256 if dataset == "cityscapes" else 128
    assert identified(name) == ZooModel(dataset, BACKBONES.get(backbone, backbone), queries)


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_variable_is_used_once_and_every_parameter_filled_once(name):
    model = identified(name)
    rows = list(entries(model))
    assert sorted(row.theirs + SUFFIX for row in rows) == sorted(MANIFESTS[name])
    file = f"{model.dataset}/panoptic_segmentation/tf_kmax_{model.backbone}.yaml"
    with torch.device("meta"), Undrawn():
        ours = build_model(config("MODEL.DEVICE", "meta", file=file)).state_dict()
    expected = [(k, tuple(v.shape)) for k, v in ours.items() if "num_batches_tracked" not in k]
    filled = [(row.ours, row.layout(zeros(row.shape)).shape) for row in rows]
    assert sorted(filled) == sorted(expected)


@pytest.fixture(scope="module")
def converted() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Variables of a COCO model, those looked at below filled with 0, 1, 2 …, and our state."""
    variables = checkpoint()
    looked_at = ("transformer_class_head/_conv/bias", "semantic_last_layer/bias")
    looked_at += ("transformer_decoder/cluster_centers", "pixel_decoder/_backbone_norms/0/beta")
    for name in looked_at:
        shape = variables[name + SUFFIX].shape
        variables[name + SUFFIX] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return variables, from_tensorflow(variables)


def test_coco_keeps_its_classes_and_its_semantic_head_gets_the_void_last(converted):
    state = converted[1]
    head = "sem_seg_head.predictor"
    bias = state[f"{head}.predictor.transformer_class_head.conv.bias"]
    assert bias.tolist() == list(range(134))
    semantic = state[f"{head}.auxiliary_semantic_predictor.final_conv.conv.bias"]
    assert semantic.tolist() == [*range(1, 134), 0]


def test_cluster_centers_become_columns(converted):
    centers = converted[1]["sem_seg_head.predictor.cluster_centers.weight"]
    assert centers.shape == (256, 128)
    assert centers[:3, 1].tolist() == [256, 257, 258]


def test_the_state_is_float32_with_a_counter_for_every_norm(converted):
    state = converted[1]
    counters = {k for k in state if k.endswith("num_batches_tracked")}
    norms = {k for k in state if k.endswith("running_mean")}
    assert {k.replace("num_batches_tracked", "running_mean") for k in counters} == norms
    assert {v.dtype.name for k, v in state.items() if k not in counters} == {"float32"}


def test_names_without_suffix_and_bookkeeping_give_the_same(converted):
    variables, state = converted
    short = {name.removesuffix(SUFFIX): array for name, array in variables.items()}
    bookkeeping = {
        "_CHECKPOINTABLE_OBJECT_GRAPH": np.array(b"graph"),
        "global_step" + SUFFIX: np.array(100_000),
        "save_counter" + SUFFIX: np.array(1),
        "optimizer/iter" + SUFFIX: np.array(100_000),
        "encoder/_stem/_conv/kernel/.OPTIMIZER_SLOT/optimizer/m" + SUFFIX: np.zeros(3),
    }
    again = from_tensorflow({**short, **bookkeeping})
    assert again.keys() == state.keys()
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_cityscapes_has_things_at_channels_0_to_7():
    assert class_order("cityscapes") == [*range(8, 19), *range(8), 19]


def test_ade20k_has_its_100_things_first():
    order = class_order("ade20k")
    assert sorted(order) == list(range(151))
    assert order[0] == 100  # wall, the first kind of stuff
    assert order[7] == 0  # bed, the first thing
    assert order[-1] == 150


def refused(variables: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_tensorflow(variables)


def test_a_missing_variable_is_named():
    name = "transformer_decoder/_kmax_decoder/3/_block1_transformer/_pixel_v_conv_bn/_conv/kernel"
    variables = checkpoint()
    del variables[name + SUFFIX]
    refused(variables, f"closest to coco convnext_tiny .* 1 of .*: {name} is missing$")


def test_a_missing_layer_is_noticed():
    variables = {k: v for k, v in checkpoint().items() if "_kmax_decoder/5/" not in k}
    refused(variables, "closest to coco convnext_tiny .*_kmax_decoder/5/.* is missing")


def test_a_variable_that_nothing_uses_is_named():
    refused({**checkpoint(), "extra/gamma" + SUFFIX: zeros((3,))}, "extra/gamma is unexpected$")


def test_another_number_of_classes_is_refused():
    variables = {
        name: zeros((*array.shape[:-1], 101)) if array.shape[-1:] == (134,) else array
        for name, array in checkpoint().items()
    }
    refused(variables, r"class_head/_conv/bias has shape \(101,\), expected \(134,\)")


def test_class_heads_that_disagree_are_refused():
    name = "transformer_class_head/_conv/bias"
    variables = {**checkpoint(), name + SUFFIX: zeros((20,))}
    refused(variables, rf"{name} has shape \(20,\), expected \(134,\)$")


def test_another_shape_is_refused():
    name = "encoder/stages/0/layer_with_weights-0/pointwise_conv1/kernel"
    variables = {**checkpoint(), name + SUFFIX: zeros((384, 96))}
    refused(variables, rf"{name} has shape \(384, 96\), expected \(96, 384\)$")


def test_a_convnext_of_another_depth_is_refused():
    variables = {k: v for k, v in checkpoint().items() if "stages/2/layer_with_weights-8" not in k}
    refused(variables, "closest to coco convnext_tiny .*layer_with_weights-8/.* is missing")


@pytest.mark.parametrize("names", [["conv1/kernel", "dense/bias"], []])
def test_a_checkpoint_of_another_network_is_refused(names):
    refused({name + SUFFIX: zeros((3,)) for name in names}, "no checkpoint of a kMaX-DeepLab")


def test_a_variable_with_and_without_suffix_is_refused():
    name = "semantic_last_layer/bias"
    refused({**checkpoint(), name: zeros((134,))}, f"with and without .*{name}")


def test_values_that_are_no_weights_are_refused():
    name = "semantic_last_layer/bias"
    refused({**checkpoint(), name + SUFFIX: np.zeros(134, int)}, f"{name} has dtype int64")
    refused({**checkpoint(), name + SUFFIX: np.full(134, np.nan)}, f"{name} .* not finite")
