"""Loaders and evaluators of test datasets."""

from pathlib import Path

import numpy as np
import pytest

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.engine import testing
from kmax_deeplab.data.format.pngs import read_ids
from tests.tiny_run import CONFIG


def test_a_truncated_image_ends_the_evaluation_of_a_run_with_its_name(tiny_dataset):
    dataset = tiny_dataset()
    path = dataset.truncate(0)
    register_panoptic(**dataset.entry)
    cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "0"])
    with pytest.raises(OSError, match=str(path)):
        list(testing.Tester.build_test_loader(cfg, dataset.entry["name"]))


def test_the_loader_of_a_test_dataset_reads_its_ground_truth(tiny_dataset):
    dataset = tiny_dataset()
    register_panoptic(**dataset.entry)
    cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "1", "TEST.IMS_PER_BATCH", "2"])
    batch = next(iter(testing.Tester.build_test_loader(cfg, dataset.entry["name"])))
    assert len(batch) == 2
    for sample in batch:
        ids, missing = sample["truth"]
        assert np.array_equal(ids, read_ids(sample["pan_seg_file_name"])) and missing == []


@pytest.mark.parametrize(
    ("datasets", "folder"),
    [(("shapes_val",), "inference"), (("shapes_val", "other"), "inference/shapes_val")],
)
def test_several_test_datasets_have_folders_of_their_own(monkeypatch, datasets, folder):
    monkeypatch.setattr(testing, "build_evaluator", lambda cfg, name, folder: folder)
    cfg = load_config(CONFIG, ["DATASETS.TEST", datasets, "OUTPUT_DIR", "out"])
    assert testing.Tester.build_evaluator(cfg, "shapes_val") == str(Path("out", folder))
