"""The parts of a run that need no data; whole runs are in tests/test_train_net.py."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.engine import trainer
from kmax_deeplab.data.format.pngs import read_ids

CONFIG = Path(__file__).parents[3] / "configs" / "shapes" / "kmax_convnext_demo.yaml"


def test_an_unsupported_sampler_is_refused_by_name():
    cfg = load_config(CONFIG, ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"])
    with pytest.raises(ValueError, match=r"SAMPLER_TRAIN is 'RepeatFactorTrainingSampler'"):
        trainer.Trainer.build_train_loader(cfg)


def test_a_truncated_image_ends_the_evaluation_of_a_run_with_its_name(tiny_dataset):
    dataset = tiny_dataset()
    path = dataset.truncate(0)
    register_panoptic(**dataset.entry)
    cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "0"])
    with pytest.raises(OSError, match=str(path)):
        list(trainer.Trainer.build_test_loader(cfg, dataset.entry["name"]))


def test_the_loader_of_a_test_dataset_reads_its_ground_truth(tiny_dataset):
    dataset = tiny_dataset()
    register_panoptic(**dataset.entry)
    cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "1", "TEST.IMS_PER_BATCH", "2"])
    batch = next(iter(trainer.Trainer.build_test_loader(cfg, dataset.entry["name"])))
    assert len(batch) == 2
    for sample in batch:
        ids, missing = sample["truth"]
        assert np.array_equal(ids, read_ids(sample["pan_seg_file_name"])) and missing == []


def test_one_process_trains_the_bare_model():
    model = nn.Linear(1, 1)
    assert trainer.distribute(model) is model


@pytest.mark.parametrize(
    ("datasets", "folder"),
    [(("shapes_val",), "inference"), (("shapes_val", "other"), "inference/shapes_val")],
)
def test_several_test_datasets_have_folders_of_their_own(monkeypatch, datasets, folder):
    monkeypatch.setattr(trainer, "build_evaluator", lambda cfg, name, folder: folder)
    cfg = load_config(CONFIG, ["DATASETS.TEST", datasets, "OUTPUT_DIR", "out"])
    assert trainer.Trainer.build_evaluator(cfg, "shapes_val") == str(Path("out", folder))


@pytest.mark.parametrize(("dtype", "scales"), [("float16", True), ("bfloat16", False)])
def test_mixed_precision_is_of_the_configured_type(dtype, scales):
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", dtype])
    step = trainer.build_step(cfg, torch.nn.Linear(1, 1), None)
    assert step.dtype == getattr(torch, dtype) and step.is_scaled == scales
