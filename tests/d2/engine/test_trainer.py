"""The parts of a run that need no data; whole runs are in tests/test_train_net.py."""

from pathlib import Path

import pytest
import torch
from torch import nn

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine import trainer

CONFIG = Path(__file__).parents[3] / "configs" / "shapes" / "kmax_convnext_demo.yaml"


def test_an_unsupported_sampler_is_refused_by_name():
    cfg = load_config(CONFIG, ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"])
    with pytest.raises(ValueError, match=r"SAMPLER_TRAIN is 'RepeatFactorTrainingSampler'"):
        trainer.Trainer.build_train_loader(cfg)


def test_one_process_trains_the_bare_model():
    model = nn.Linear(1, 1)
    assert trainer.distribute(model) is model


@pytest.mark.parametrize(("dtype", "scales"), [("float16", True), ("bfloat16", False)])
def test_mixed_precision_is_of_the_configured_type(dtype, scales):
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", dtype])
    step = trainer.build_step(cfg, torch.nn.Linear(1, 1), None)
    assert step.dtype == getattr(torch, dtype) and step.is_scaled == scales
