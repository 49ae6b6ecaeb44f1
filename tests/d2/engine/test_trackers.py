"""Figures and pictures reach whoever shows them, grouped, once."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.utils.events import EventStorage

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine.trackers import (
    TRACKERS,
    TrackerWriter,
    grouped,
    require_packages,
)
from tests.tiny_run import CONFIG


class Recorded:
    def __init__(self):
        self.figures, self.pictures = [], []

    def add_figures(self, figures, step):
        self.figures.append((step, figures))

    def add_picture(self, name, picture, step):
        self.pictures.append((name, picture.shape, step))


def test_new_figures_and_pictures_are_shown_once_under_grouped_names():
    tracker = Recorded()
    writer = TrackerWriter([tracker])
    with EventStorage() as storage:
        for value in (1.0, 2.0):
            storage.put_scalars(loss_ce_3=value, loss_ce=value, lr=0.5, smoothing_hint=False)
            storage.put_image("examples/a", np.zeros((3, 4, 5), np.uint8))
            writer.write()
            storage.step()
    names = ("layer 3/loss_ce", "final/loss_ce", "step/lr")
    assert tracker.figures == [
        (step, dict(zip(names, (value, value, 0.5), strict=True)))
        for step, value in enumerate((1.0, 2.0))
    ]
    assert tracker.pictures == [("examples/a", (4, 5, 3), 0), ("examples/a", (4, 5, 3), 1)]


def test_scores_of_classes_lie_together():
    assert grouped("panoptic_seg/PQ-traffic light") == "panoptic_seg PQ by class/traffic light"
    assert grouped("ema/panoptic_seg/PQ") == "ema/panoptic_seg/PQ"
    assert grouped("images_per_second") == "run/images_per_second"


def test_a_tracker_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"LOGGERS names 'tensorbord'; there are \['tensorboard'"):
        require_packages(["tensorbord"])
    with pytest.raises(ValueError, match=r"LOGGERS 'wandb' needs a package: pip install wandb"):
        require_packages(["tensorboard", "wandb"])


def test_mlflow_and_wandb_are_called_as_they_document(monkeypatch, tmp_path):
    calls = []

    def record(name):
        return lambda *arguments, **words: calls.append((name, arguments, words))

    run = SimpleNamespace(log=record("log"), finish=record("finish"))
    wandb = SimpleNamespace(init=lambda **words: calls.append(("init", (), words)) or run)
    wandb.Image = lambda picture: ("image", picture.shape)
    names = ("set_experiment", "start_run", "log_text", "log_metrics", "log_image", "end_run")
    mlflow = SimpleNamespace(**{name: record(name) for name in names})
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    cfg = load_config(CONFIG, ["OUTPUT_DIR", str(tmp_path / "my run")])
    for name in ("wandb", "mlflow"):
        tracker = TRACKERS[name][1](cfg)
        tracker.add_figures({"layer 0/loss_ce": 1.0}, 7)
        tracker.add_picture("examples/a", np.zeros((4, 5, 3), np.uint8), 7)
        tracker.close()
    assert calls[0][2]["id"] == "my-run" and calls[0][2]["resume"] == "allow"
    assert ("log", ({"layer 0/loss_ce": 1.0},), {"step": 7}) in calls
    assert ("log_metrics", ({"layer 0/loss_ce": 1.0},), {"step": 7}) in calls
    assert any(
        name == "log_image" and words[1] == "examples/a/0000007.png" for name, words, _ in calls
    )
