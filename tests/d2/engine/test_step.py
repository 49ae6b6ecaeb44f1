"""Steps: what is not finite changes nothing and is counted, batches add up, losses are read."""

import json

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from kmax_deeplab.d2.engine.solver import _clip_full_model
from kmax_deeplab.d2.engine.step import Step


class Model(nn.Module):
    """Answers with a small loss, whose scaled gradient fits float16, behind a norm."""

    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm1d(1), nn.Parameter(torch.ones(1, 1))

    def forward(self, batch):
        x = torch.stack([each["image"] for each in batch])
        return {"loss": 1e-2 * ((self.norm(x) @ self.weight).float() * x.mean()).square().mean()}


def batch_of(*values):
    return [{"image": torch.tensor([value]), "image_id": f"of {value}"} for value in values]


GOOD, BAD = batch_of(1.0, 2.0), batch_of(1.0, float("inf"))
ALL_TYPES = [torch.float32, torch.bfloat16, torch.float16]


def run(batches, dtype=torch.float32, kind=Step, max_norm=None, model=None, **settings):
    model = model or Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    if max_norm is not None:
        _clip_full_model(optimizer, max_norm)
    step = kind(model, optimizer, dtype=dtype, **settings)
    step.data_loader = batches
    with EventStorage() as storage:
        for iteration in range(len(batches) // step.accumulate):
            step.iter = iteration
            step.run_step()
            storage.step()
    return model, step, storage


@pytest.mark.parametrize("dtype", ALL_TYPES)
def test_a_step_that_is_not_finite_changes_nothing_but_the_scale_and_is_counted(dtype, caplog):
    model, step, storage = run([GOOD, BAD, GOOD], dtype)
    expected, plain, _ = run([GOOD, GOOD], dtype)
    torch.testing.assert_close(
        model.state_dict(), expected.state_dict() | {"norm.num_batches_tracked": torch.tensor(3)}
    )
    assert expected.weight != 1
    halved = 2 if dtype == torch.float16 else 1
    assert step.scaler.get_scale() == plain.scaler.get_scale() / halved
    assert step.skipped == storage.latest()["skipped_steps"][0] == 1 and step.skipped_in_row == 0
    assert (
        f"Iteration 2: loss not finite in {str(dtype)[6:]} (rank 0, images ['of 1.0', 'of inf']). "
        "The step is skipped; 1 so far, 1 in a row" in caplog.text
    )


def test_the_images_of_all_batches_of_a_step_that_are_not_finite_are_named(caplog):
    nan = batch_of(3.0, float("nan"))
    run([BAD, GOOD, nan], accumulate=3)
    images = "images ['of 1.0', 'of inf', 'of 3.0', 'of nan']"
    assert f"loss not finite in float32 (rank 0, {images})" in caplog.text


class Overflowing(nn.Module):
    """Has a loss that fits, and gradients that do not fit float16 once they are scaled."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch):
        return {"loss": (self.weight.half() * 8).float().mean()}


def test_gradients_that_overflow_in_float16_lower_the_scale_until_they_fit(caplog):
    model, step, _ = run([GOOD] * 6, torch.float16, model=Overflowing())
    assert 2**10 < step.scaler.get_scale() < 2**16 and 0 < step.skipped < 6
    torch.testing.assert_close(model.weight, torch.tensor([1 - 0.8 * (6 - step.skipped)]))
    assert "Iteration 1: gradient not finite in float16. The step is skipped" in caplog.text


def test_gradients_are_clipped_as_they_are_and_not_as_they_are_scaled():
    model, _, _ = run([GOOD], torch.float16, max_norm=0.01)
    before = dict(Model().named_parameters())
    change = torch.cat([(p - before[n]).flatten() for n, p in model.named_parameters()])
    torch.testing.assert_close(change.norm(), torch.tensor(0.1 * 0.01), rtol=1e-3, atol=0)


@pytest.mark.parametrize("before", ALL_TYPES)
def test_a_run_goes_on_in_another_precision_and_counts_on(before):
    _, first, _ = run([GOOD, BAD], before)
    _, second, _ = run([], torch.float16)
    second.load_state_dict(first.state_dict())
    assert second.scaler.get_scale() == (2.0**15 if before == torch.float16 else 2.0**16)
    assert second.skipped == second.skipped_in_row == 1


@pytest.mark.parametrize("dtype", ALL_TYPES)
def test_too_many_steps_in_a_row_end_the_run(dtype):
    run([GOOD, *[BAD] * 3, GOOD, *[BAD] * 3], dtype, most_skipped=3)
    with pytest.raises(FloatingPointError, match=r"4 steps in a row.*iteration 5: loss") as caught:
        run([GOOD, *[BAD] * 4], dtype, most_skipped=3)
    assert ("bfloat16 has the range" in str(caught.value)) == (dtype == torch.float16)


def test_a_batch_that_is_not_finite_is_kept_on_request(tmp_path):
    run([GOOD, BAD], keep_skipped=tmp_path / "skipped")
    ((kept,),) = [torch.load(path) for path in (tmp_path / "skipped").iterdir()]
    assert [x["image_id"] for x in kept] == ["of 1.0", "of inf"]


def test_accumulated_batches_make_the_step_of_their_mean():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, batch):
            x = torch.stack([each["image"] for each in batch])
            return {"loss": (x * self.weight - 3).square().mean()}

    parts = [batch_of(1.0, 2.0), batch_of(3.0, 5.0), batch_of(-1.0, 2.0), batch_of(0.5, 4.0)]
    together = [parts[0] + parts[1], parts[2] + parts[3]]
    model, step, storage = run(parts, accumulate=2, model=Plain())
    expected, _, plain = run(together, model=Plain())
    torch.testing.assert_close(model.weight, expected.weight)
    assert step.iter == 1
    for name in ("total_loss", "gradient_norm"):
        assert storage.latest()[name][0] == pytest.approx(plain.latest()[name][0])


def test_parameters_without_a_gradient_are_named():
    model = Model()
    model.idle = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"2 parameters get no gradient, e\.g\. idle\.weight"):
        run([GOOD], model=model)
    run([GOOD], model=model, some_unused=True)


def test_losses_are_read_at_the_first_iterations_and_then_at_their_period():
    read = []

    class Recorded(Step):
        def write_metrics(self, losses, data_time, iteration, prefix=""):
            read.append(iteration + 1)

    run([GOOD] * 45, kind=Recorded, period=20)
    assert read == [1, 2, 5, 10, 20, 40]


def test_what_a_skipped_step_leaves_is_json(tmp_path):
    _, _, storage = run([GOOD, BAD])
    json.dumps({name: value for name, (value, _) in storage.latest().items()}, allow_nan=False)
