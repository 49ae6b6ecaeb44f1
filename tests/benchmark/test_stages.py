import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kmax_deeplab.benchmark.memory import CLEAR_REFS, PeakMemory
from kmax_deeplab.benchmark.stages import Stages

CPU = torch.device("cpu")
NAP = 0.01


def nap(*_):
    time.sleep(NAP)


def rows_by_name(rows):
    return {row.stage: row for row in rows}


def test_stages_and_the_rest_add_up_to_the_total():
    stages = Stages(CPU)

    def step():
        nap()
        with stages.stage("first"):
            nap()
        with stages.stage("second"):
            nap()

    rows = stages.measure(step, runs=3)
    assert [row.stage for row in rows] == ["first", "second", "other", "total"]
    assert all(len(row.seconds) == 3 for row in rows)
    for first, second, other, total in zip(*(row.seconds for row in rows), strict=True):
        assert first + second + other == pytest.approx(total)
        assert min(first, second, other) >= NAP


def test_stages_nest_as_calls_do():
    stages, owner = Stages(CPU), SimpleNamespace(inner=nap)
    stages.watch_call("inner", owner, "inner")

    def step():
        with stages.stage("outer"):
            owner.inner()

    rows = stages.measure(step, runs=1)
    assert [(row.stage, row.depth) for row in rows[:2]] == [("outer", 0), ("inner", 1)]
    assert rows[1].median <= rows[0].median
    assert rows_by_name(rows)["other"].median < NAP


def test_a_module_that_runs_twice_counts_with_the_sum():
    stages, module = Stages(CPU), nn.Linear(2, 2)
    module.register_forward_pre_hook(nap)
    stages.watch_module("linear", module)
    module.register_forward_pre_hook(nap)
    rows = stages.measure(lambda: module(module(torch.ones(1, 2))), runs=2)
    assert rows[0].stage == "linear"
    assert rows[0].median >= 2 * NAP


def test_watching_ends_with_the_measurement():
    stages, owner, module = Stages(CPU), SimpleNamespace(inner=nap), nn.Linear(2, 2)
    stages.watch_call("inner", owner, "inner")
    stages.watch_module("linear", module)
    stages.measure(lambda: owner.inner(module(torch.ones(1, 2))), runs=1)
    assert owner.inner is nap
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_a_stage_that_a_step_leaves_out_counts_zero():
    stages, steps = Stages(CPU), iter(range(10))

    def step():
        if next(steps) == 2:
            with stages.stage("rare"):
                nap()

    rare = stages.measure(step, runs=3)[0]
    assert [seconds > 0 for seconds in rare.seconds] == [False, True, False]


def test_no_run_is_refused():
    with pytest.raises(ValueError, match="runs = 0"):
        Stages(CPU).measure(nap, runs=0)


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="Linux alone resets the peak")
def test_the_peak_of_a_stage_holds_what_the_stage_allocated():
    size = 200_000_000
    memory = PeakMemory(CPU)
    memory.take()
    before = memory.take()
    torch.ones(size // 4)
    assert memory.take() - before > 0.8 * size
