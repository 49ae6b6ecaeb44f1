"""A model is filled completely, or the file is refused and the model stays as it was."""

import pytest
import torch
from torch import nn

from kmax_deeplab.checkpoint.loading import load_weights

PREDICTOR = "sem_seg_head.predictor"


def block(**children):
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def network(classes=3, queries=4, width=2):
    predictor = block(
        cluster_centers=nn.Embedding(8, queries),
        kmax_transformer_layers=nn.ModuleList(
            [block(transformer_class_head=nn.Linear(8, classes))]
        ),
        auxiliary_semantic_predictor=block(conv=nn.Linear(2, 2), final_conv=nn.Linear(2, classes)),
    )
    backbone = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
    return block(backbone=backbone, sem_seg_head=block(predictor=predictor))


def load(model, state, **options):
    return load_weights(model, dict(state), origin="x.pth", **options)


def assert_filled(model, state, names):
    ours = model.state_dict()
    assert all(torch.equal(ours[name], state[name]) for name in names)


def test_a_whole_model_is_loaded_whole():
    model, state = network(), network().state_dict()
    assert "loaded 14 of 14 entries, 88 of 88 parameters" in load(model, state, complete=True)
    assert_filled(model, state, state)


def test_only_a_training_misses_the_auxiliary_semantic_head():
    model, state = network(), network().state_dict()
    state = {name: value for name, value in state.items() if ".auxiliary_semantic" not in name}
    assert "it lacks the auxiliary semantic head" in load(model, state, complete=True)
    assert_filled(model, state, state)
    with pytest.raises(ValueError, match="4 entries are missing"):
        load(network(), state)


def test_a_backbone_fills_the_whole_backbone_and_nothing_else():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {k: v for k, v in network().state_dict().items() if k.startswith("backbone.")}
    summary = load(model, state)
    assert "loaded 7 of 7 entries, 14 of 14 parameters and statistics, of the backbone" in summary
    assert_filled(model, {**before, **state}, before)


def test_a_backbone_without_counters_is_whole():
    state = {k: v for k, v in network().state_dict().items() if k.startswith("backbone.")}
    del state["backbone.1.num_batches_tracked"]
    load(network(), state)


def test_a_backbone_alone_is_refused_where_a_whole_model_is_due():
    state = {k: v for k, v in network().state_dict().items() if k.startswith("backbone.")}
    with pytest.raises(ValueError, match="A backbone alone can only begin a training"):
        load(network(), state, complete=True)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("left_out", ["backbone.0.weight", f"{PREDICTOR}.cluster_centers.weight"])
def test_a_torn_model_is_refused_and_nothing_is_loaded(complete, left_out):
    model, state = network(), network().state_dict()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    del state[left_out]
    with pytest.raises(ValueError, match=rf"1 entries are missing.*\n.*\nmissing +{left_out}"):
        load(model, state, complete=complete)
    assert_filled(model, before, before)


def test_a_torn_backbone_is_refused():
    with pytest.raises(ValueError, match=r"missing +backbone\.0\.bias +- +\(2,\)"):
        load(network(), {"backbone.0.weight": torch.ones(2, 2)})


def test_other_shapes_are_listed_with_both_shapes():
    with pytest.raises(ValueError, match=r"other shape +backbone\.0\.weight +\(5, 2\) +\(2, 2\)"):
        load(network(), network(width=5).state_dict())


def test_other_classes_are_refused_with_the_flag_that_allows_them():
    with pytest.raises(ValueError, match=r"REINITIALIZE \"\['classes'\]\"$"):
        load(network(), network(classes=7).state_dict())
    with pytest.raises(ValueError, match=r"REINITIALIZE \"\['classes', 'queries'\]\"$"):
        load(network(), network(classes=7, queries=9).state_dict())


def test_an_evaluation_is_never_offered_new_classes():
    with pytest.raises(ValueError, match="Use the config that it was trained with"):
        load(network(), network(classes=7).state_dict(), complete=True)


def test_fine_tuning_begins_only_what_it_names_anew():
    model, state = network(), network(classes=7).state_dict()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summary = load(model, state, reinitialize=["classes"])
    renewed = [k for k in before if "class_head" in k or "final_conv" in k]
    assert len(renewed) == 4
    assert "re-initialised by MODEL.KMAX_DEEPLAB.REINITIALIZE ['classes']: " in summary
    assert all(name in summary for name in renewed)
    assert_filled(model, before, renewed)
    assert_filled(model, state, before.keys() - set(renewed))


def test_a_named_part_begins_anew_even_where_it_would_fit():
    model, state = network(), network().state_dict()
    before = model.sem_seg_head.predictor.cluster_centers.weight.clone()
    load(model, state, reinitialize=["queries"])
    assert torch.equal(model.sem_seg_head.predictor.cluster_centers.weight, before)


def test_a_file_of_another_model_is_refused():
    with pytest.raises(ValueError, match=r"unknown source.*13 entries are missing, 2 unexpected"):
        load(network(), nn.Linear(2, 2).state_dict())


def test_long_tables_end():
    with pytest.raises(ValueError, match=r"… and 1 more missing"):
        load(network(), {"sem_seg_head.x": torch.ones(1)})


def test_half_precision_files_fill_a_float32_model():
    state = {k: v.half() if v.is_floating_point() else v for k, v in network().state_dict().items()}
    model = network()
    load(model, state)
    assert all(p.dtype == torch.float32 for p in model.parameters())
