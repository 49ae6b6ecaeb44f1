"""What a run says of its speed is that of its iterations, not of its start."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import EventStorage

from kmax_deeplab.d2.engine import health


def test_the_first_iteration_which_also_compiles_does_not_count(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(health.time, "perf_counter", lambda: clock.now)
    hook, lines = health.Health(images=4, device=torch.device("cpu")), []
    trainer = SimpleNamespace(start_iter=0, max_iter=12, evaluation_seconds=0.0)
    hook.trainer = trainer
    hook.before_train()
    with EventStorage() as storage:
        trainer.storage = storage
        for iteration in range(10):
            trainer.iter = storage.iter = iteration
            clock.now += 0.5 if iteration else 100
            if iteration == 7:
                clock.now += 1.5
                trainer.evaluation_seconds += 1.5
            hook.after_step()
            lines.append(health.describe(storage))
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert "eta" not in lines[0] and "images/s" not in lines[0]
    assert "eta 0:00:05" in lines[1] and "8 images/s" in lines[1]
    assert latest["images_per_second"] == pytest.approx(8)
    assert latest["eta_seconds"] == pytest.approx(6 / 9 * 2)
    assert latest["evaluation_share"] == pytest.approx(0.25)
