"""The criterion equals the one-hot definition, values and gradients, whatever the ground truth."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kmax_deeplab.losses import LossSettings, compute_losses, instance_discrimination
from kmax_deeplab.losses.criterion import compile_losses
from kmax_deeplab.structures import HeadOutput, Prediction
from tests.losses.plain import PlainTruth, no_truth, plain_losses, random_output, random_truth

ALL = LossSettings(insdis_samples=10**6, semantic_samples=10**6)
"""Every pixel is sampled: nothing is left to chance."""


def assert_equals_definition(
    output: HeadOutput, truths: list[PlainTruth], settings: LossSettings = ALL
) -> None:
    leaves = [x for p in output.predictions for x in vars(p).values()]
    leaves += [] if output.semantic_logits is None else [output.semantic_logits]
    losses = compute_losses(output, [truth.targets() for truth in truths], settings)
    want = plain_losses(output, truths, settings)
    assert set(losses) == set(want)
    for name, loss in losses.items():
        torch.testing.assert_close(loss.double(), want[name], rtol=1e-5, atol=1e-6, msg=name)
        got_gradients = gradients(loss, leaves)
        for got, gradient in zip(got_gradients, gradients(want[name], leaves), strict=True):
            assert (got - gradient).norm() <= 1e-5 * gradient.norm() + 1e-7, name


def gradients(loss: torch.Tensor, leaves: list[torch.Tensor]) -> list[torch.Tensor]:
    return torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)


@pytest.mark.parametrize("grid", [(9, 9), (8, 11), (9, 6)])
def test_layers_are_compared_on_the_grid_of_the_targets(grid):
    output = random_output([(3, 3), (5, 4), grid], images=2, semantic=(5, *grid))
    assert_equals_definition(output, [random_truth(grid, segments=m) for m in (3, 4)])


def test_overlapping_masks_share_their_pixels():
    output = random_output([(4, 5), (7, 9)], images=2)
    truths = [random_truth((7, 9), segments=m, overlapping=True) for m in (5, 1)]
    assert len(truths[0].targets().segment_map) > 1
    assert_equals_definition(output, truths)


def test_an_image_without_segments_counts_in_the_mean():
    output = random_output([(4, 4), (7, 7)], images=2, semantic=(4, 7, 7))
    assert_equals_definition(output, [no_truth((7, 7)), random_truth((7, 7), segments=3)])


def test_a_batch_without_segments_trains():
    output = random_output([(4, 4), (7, 7)], images=1, semantic=(4, 7, 7))
    losses = compute_losses(output, [no_truth((7, 7)).targets()], ALL)
    sum(losses.values()).backward()
    assert all(x.grad.isfinite().all() for p in output.predictions for x in vars(p).values())
    assert losses["loss_mask"] == losses["loss_dice"] == losses["loss_aux_semantic"] == 0


@pytest.mark.parametrize("overlapping", [False, True])
def test_segments_beyond_the_number_of_queries_become_void(overlapping):
    output = random_output([(4, 4), (7, 7)], images=1, queries=3)
    assert_equals_definition(output, [random_truth((7, 7), segments=8, overlapping=overlapping)])


@pytest.mark.parametrize(
    "change",
    [
        {"share_final_matching": False},
        {"deep_supervision": False},
        {"masking_void_pixel": False},
        {"no_object_weight": 0.4},
        {"semantic_samples": 0},
        {"class_weight": 2.0, "mask_weight": 5.0, "dice_weight": 7.0, "insdis_weight": 11.0},
        {"semantic_weight": 13.0},
    ],
    ids=str,
)
def test_every_setting_does_what_it_says(change):
    output = random_output([(4, 4), (4, 4), (7, 7)], images=2, semantic=(4, 7, 7))
    truths = [random_truth((7, 7), segments=m) for m in (2, 5)]
    assert_equals_definition(output, truths, replace(ALL, **change))


@pytest.mark.parametrize("semantic", [(4, 5, 9), (5, 3, 5)])
def test_coarser_semantic_logits_meet_strided_targets(semantic):
    output = random_output([(9, 17)], images=1, semantic=semantic)
    assert_equals_definition(output, [random_truth((9, 17), segments=4)])


def test_permuting_queries_changes_no_loss():
    output = random_output([(4, 4), (7, 7)], images=1)
    order = torch.randperm(6)
    permuted = HeadOutput(
        [
            Prediction(p.class_logits[:, order], p.mask_logits[:, order], p.pixel_feature)
            for p in output.predictions
        ]
    )
    targets = [random_truth((7, 7), segments=3).targets()]
    torch.testing.assert_close(
        compute_losses(permuted, targets, ALL), compute_losses(output, targets, ALL)
    )


def test_half_precision_outputs_give_float32_losses_under_autocast():
    output = random_output([(4, 4), (7, 7)], images=1, semantic=(4, 7, 7))
    half = HeadOutput(
        [Prediction(*(x.bfloat16() for x in vars(p).values())) for p in output.predictions],
        output.semantic_logits.bfloat16(),
    )
    exact = HeadOutput(
        [Prediction(*(x.float() for x in vars(p).values())) for p in half.predictions],
        half.semantic_logits.float(),
    )
    targets = [random_truth((7, 7), segments=3).targets()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = compute_losses(half, targets, ALL)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.testing.assert_close(losses, compute_losses(exact, targets, ALL))


def test_seeds_decide_which_pixels_are_sampled():
    output = random_output([(4, 4), (15, 15)], images=2, semantic=(4, 15, 15))
    targets = [random_truth((15, 15), segments=3).targets() for _ in range(2)]
    settings = LossSettings(insdis_samples=20, semantic_samples=20)

    def draw(seed: int) -> dict[str, torch.Tensor]:
        return compute_losses(output, targets, settings, torch.tensor([seed, 3]))

    assert draw(1) == draw(1)
    assert draw(1)["loss_pixel_insdis"] != draw(2)["loss_pixel_insdis"]


def test_targets_that_do_not_fit_are_named():
    output = random_output([(7, 7)], images=2)
    small, large = (random_truth(side, segments=1).targets() for side in ((7, 7), (9, 9)))
    with pytest.raises(ValueError, match="2 images have 1 targets"):
        compute_losses(output, [small], ALL)
    with pytest.raises(ValueError, match=r"grids \[\(7, 7\), \(9, 9\)\]"):
        compute_losses(output, [small, large], ALL)


def test_a_diverged_prediction_has_losses_that_say_so():
    output = random_output([(7, 7)], images=1)
    output.predictions[0].mask_logits.data[0, 0, 0, 0] = torch.nan
    losses = compute_losses(output, [random_truth((7, 7), segments=2).targets()], ALL)
    assert not sum(losses.values()).isfinite()


@pytest.mark.slow
def test_compiled_losses_are_the_same_for_any_number_of_segments():
    compute = compile_losses(ALL, backend="aot_eager", dynamic=False)
    for counts in ((3, 2), (1, 9), (4, 5)):
        torch.manual_seed(counts[0])
        output = random_output([(4, 4), (9, 9), (17, 17)], images=2, semantic=(4, 17, 17))
        targets = [random_truth((17, 17), segments=count).targets() for count in counts]
        leaves = [x for p in output.predictions for x in vars(p).values()]
        found = []
        for losses in (compute_losses(output, targets, ALL), compute(output, targets)):
            gradients = torch.autograd.grad(sum(losses.values()), leaves)
            found.append((losses, gradients))
        torch.testing.assert_close(*found)
    compiled = torch._dynamo.utils.counters["frames"]["total"]
    compute(random_output([(4, 4), (9, 9), (17, 17)], images=2, semantic=(4, 17, 17)), targets)
    assert torch._dynamo.utils.counters["frames"]["total"] == compiled


class CountedCalls(TorchDispatchMode):
    """Counts operator calls, views included."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += 1
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("share", [True, False])
def test_the_number_of_operator_calls_does_not_depend_on_the_batch(share, monkeypatch):
    monkeypatch.setattr(instance_discrimination, "TILE", 0)  # as on an accelerator
    settings = LossSettings(share_final_matching=share)
    sides, counts = [(3, 3)] * 2 + [(5, 5)] * 2 + [(9, 9)] * 2 + [(17, 17)], []
    for images in (2, 8):
        output = random_output(sides, images=images, semantic=(5, 17, 17))
        targets = [random_truth((17, 17), segments=4).targets() for _ in range(images)]
        with CountedCalls() as calls:
            compute_losses(output, targets, settings)
        counts.append(calls.count)
    assert counts[0] == counts[1]
    assert counts[0] <= (600 if share else 3000)


def test_no_map_of_all_queries_on_the_grid_waits_for_the_backward_pass():
    sides = [(3, 3)] * 2 + [(9, 9), (33, 33)]
    output = random_output(sides, images=2, queries=50)
    targets = [random_truth((33, 33), segments=4).targets() for _ in range(2)]
    settings, kept = LossSettings(insdis_samples=20), []
    given = {x.data_ptr() for p in output.predictions for x in vars(p).values()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        compute_losses(output, targets, settings)
    grown = [x for x in kept if x.data_ptr() not in given and x.numel() >= 2 * 50 * 33 * 33]
    assert len(grown) <= 1  # the logits of the finest prediction, stacked
