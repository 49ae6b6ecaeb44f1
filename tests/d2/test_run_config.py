from pathlib import Path

import pytest
import torch

from kmax_deeplab.d2.run_config import adapt_to_machine, load_config

CONFIG = Path(__file__).parents[2] / "configs" / "shapes" / "kmax_convnext_demo.yaml"


def test_the_command_line_has_the_last_word():
    assert load_config(CONFIG, ["SOLVER.MAX_ITER", "7"]).SOLVER.MAX_ITER == 7


def test_a_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r"no/such\.yaml"):
        load_config("no/such.yaml")


def test_without_cuda_a_run_goes_to_the_cpu_in_full_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True"])
    changes = adapt_to_machine(cfg)
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cpu", False)
    assert len(changes) == 2


def test_with_cuda_a_run_stays_as_configured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True"])
    assert adapt_to_machine(cfg) == []
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cuda", True)
