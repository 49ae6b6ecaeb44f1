"""Steps in mixed precision: what is not finite changes nothing and is counted."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from kmax_deeplab.d2.engine.solver import _clip_full_model
from kmax_deeplab.d2.engine.step import LEAST_SCALE, MixedPrecisionStep, Step


class Model(nn.Module):
    """Answers with a small loss, whose scaled gradient fits float16, behind a norm."""

    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm1d(1), nn.Parameter(torch.ones(1, 1))

    def forward(self, x):
        return {"loss": 1e-2 * ((self.norm(x) @ self.weight).float() * x.mean()).square().mean()}


GOOD, BAD = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [float("inf")]])


def run(batches, make, max_norm=None):
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    if max_norm is not None:
        _clip_full_model(optimizer, max_norm)
    step = make(model, optimizer)
    step.data_loader = batches
    with EventStorage() as storage:
        for step.iter in range(len(batches)):
            step.run_step()
            storage.step()
    return model, step, storage


def in_half(model, optimizer):
    return MixedPrecisionStep(model, optimizer, torch.float16)


def test_a_step_that_is_not_finite_in_float16_changes_only_the_scale_and_is_counted(
    caplog,
):
    model, step, storage = run([GOOD, BAD, GOOD], in_half)
    expected, plain, _ = run([GOOD, GOOD], in_half)
    torch.testing.assert_close(dict(model.named_parameters()), dict(expected.named_parameters()))
    assert expected.weight != 1
    torch.testing.assert_close(model.norm.running_mean, expected.norm.running_mean)
    torch.testing.assert_close(model.norm.running_var, expected.norm.running_var)
    assert step.grad_scaler.get_scale() == plain.grad_scaler.get_scale() / 2
    assert step.skipped == storage.latest()["skipped_steps"][0] == 1
    assert "Iteration 2: the loss is not finite in float16. The step is skipped; 1 so far" in (
        caplog.text
    )


def test_gradients_are_clipped_as_they_are_and_not_as_they_are_scaled():
    model, _, _ = run([GOOD], in_half, max_norm=0.01)
    before = dict(Model().named_parameters())
    change = torch.cat([(p - before[n]).flatten() for n, p in model.named_parameters()])
    torch.testing.assert_close(change.norm(), torch.tensor(0.1 * 0.01), rtol=1e-3, atol=0)


@pytest.mark.parametrize("before", [torch.float16, torch.bfloat16, None])
def test_a_run_goes_on_in_another_precision(before):
    def in_other(model, optimizer):
        if before is None:
            return Step(model, None, optimizer)
        return MixedPrecisionStep(model, optimizer, before)

    _, first, _ = run([GOOD, BAD] if before == torch.float16 else [GOOD], in_other)
    _, second, _ = run([], in_half)
    second.load_state_dict(first.state_dict())
    expected = 2.0**15 if before == torch.float16 else 2.0**16
    assert second.grad_scaler.get_scale() == expected


def test_float16_that_never_is_finite_ends_the_run():
    with pytest.raises(FloatingPointError, match=r"\d+ skipped.*bfloat16"):
        run([BAD] * 40, in_half)
    assert LEAST_SCALE > 2.0**16 / 2**40


@pytest.mark.parametrize(
    "make",
    [
        lambda model, optimizer: MixedPrecisionStep(model, optimizer, torch.bfloat16),
        lambda model, optimizer: Step(model, None, optimizer),
    ],
)
def test_elsewhere_a_loss_that_is_not_finite_ends_the_run(make):
    with pytest.raises(FloatingPointError, match="infinite or NaN"):
        run([GOOD, BAD], make)


def test_losses_are_read_at_the_first_iterations_and_then_at_their_period():
    read = []

    class Recorded(Step):
        def write_metrics(self, losses, data_time, iteration, prefix=""):
            read.append(iteration + 1)

    run([GOOD] * 45, lambda model, o: Recorded(model, None, o, gather_metric_period=20))
    assert read == [1, 2, 5, 10, 20, 40]
