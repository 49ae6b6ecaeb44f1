"""Runs on the benchmarks: training, evaluation of parts, in batches and on several processes."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from torch import multiprocessing

import train_net
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine.trainer import Trainer
from tests.datasets import trees
from tests.datasets.oracle import Oracle
from tests.datasets.prepared import BENCHMARKS, registered
from tests.scripts import exit_status, load_script

pytestmark = pytest.mark.slow

TASKS = ["panoptic_seg", "sem_seg", "segm"]


def test_a_prepared_benchmark_trains_and_evaluates_all_metrics_at_once(benchmark, tmp_path):
    pictures = ["--output", str(tmp_path / "check"), "--workers", "1"]
    assert exit_status(load_script("datasets/check.py").main, *pictures, *benchmark.sets) == 0
    words = ["--config-file", benchmark.config, *benchmark.settings(tmp_path)]
    results = train_net.main(train_net.parse_args(words))
    assert list(results) == TASKS
    written = json.loads((tmp_path / "inference/results.json").read_text())
    assert written["num_images"] == trees.COUNTS["val"]
    assert written["sem_seg"].keys() == results["sem_seg"].keys()
    checkpoint = torch.load(tmp_path / "model_final.pth")
    assert checkpoint["iteration"] == 1
    assert all(value.isfinite().all() for value in checkpoint["model"].values())
    assert 0 <= results["panoptic_seg"]["PQ"] <= 100


def test_a_part_in_batches_has_the_figures_of_these_images_alone(benchmark, tmp_path):
    oracle = Oracle(benchmark.test_set)
    changes = {"TEST.MAX_IMAGES": 3, "TEST.IMS_PER_BATCH": 2}
    results = benchmark.score(tmp_path / "part", oracle, **changes)
    assert oracle.batch_sizes == [2, 1]
    written = json.loads((tmp_path / "part/inference/results.json").read_text())
    assert written["num_images"] == 3
    records = DatasetCatalog.get(benchmark.test_set)
    load = DatasetCatalog.pop(benchmark.test_set)
    DatasetCatalog.register(benchmark.test_set, lambda: [records[i] for i in (0, 1, 2)])
    try:
        alone = benchmark.score(tmp_path / "alone", Oracle(benchmark.test_set))
    finally:
        DatasetCatalog.pop(benchmark.test_set)
        DatasetCatalog.register(benchmark.test_set, load)
    assert same(results, alone)


@pytest.mark.parametrize("benchmark", BENCHMARKS[:1], indirect=True, ids=["coco"])
def test_cocos_semantic_pngs_say_what_its_panoptic_pngs_imply(benchmark, scored, tmp_path):
    changes = {"DATASETS.TEST": ("coco_2017_val_panoptic",)}
    derived = benchmark.score(tmp_path, Oracle("coco_2017_val_panoptic"), **changes)
    assert same(derived, scored[1])


def same(first: dict, second: dict) -> bool:
    """Compares results, in which NaN equals NaN."""
    pairs = [(first[task], second[task]) for task in TASKS]
    return all(a.keys() == b.keys() for a, b in pairs) and all(
        np.array_equal(list(a.values()), list(b.values()), equal_nan=True) for a, b in pairs
    )


def score_on_rank(rank: int, folder, root, benchmark) -> None:
    """Evaluates on one of two processes; the first one writes the results."""
    torch.set_num_threads(1)
    place = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
    comm.create_local_process_group(2)
    with registered(root):
        results = benchmark.score(folder, Oracle(benchmark.test_set))
    assert bool(results) == (rank == 0)
    torch.distributed.destroy_process_group()


def test_two_processes_compute_the_figures_of_one(benchmark, scored, datasets_root, tmp_path):
    arguments = (tmp_path, datasets_root, benchmark)
    multiprocessing.start_processes(score_on_rank, arguments, nprocs=2, start_method="fork")
    written = json.loads((tmp_path / "inference/results.json").read_text())
    for task in TASKS:
        expected = scored[1][task]
        assert written[task].keys() == expected.keys()
        for name, value in written[task].items():
            value = float("nan") if value is None else value
            assert value == pytest.approx(expected[name], nan_ok=True), name
    assert not list((tmp_path / "inference").glob("cityscapes_*"))


@pytest.mark.parametrize("longest", [65, 97])
def test_batches_give_an_image_what_it_gets_alone(datasets_root, tmp_path, longest):
    ade = BENCHMARKS[2]
    changes = {"INPUT.MAX_SIZE_TEST": longest}  # 97: wider than the size that images are padded to
    with registered(datasets_root):
        torch.manual_seed(0)
        cfg = load_config(ade.config, ade.settings(tmp_path, **changes))
        model = Trainer.build_model(cfg).eval()
        outputs = []
        for batch_size in (1, 4):
            cfg.TEST.IMS_PER_BATCH = batch_size
            loader = Trainer.build_test_loader(cfg, ade.test_set)
            with torch.no_grad():
                outputs.append([output for batch in loader for output in model(batch)])
    assert len(outputs[0]) == len(outputs[1]) == trees.COUNTS["val"]
    for alone, together in zip(*outputs, strict=True):
        assert torch.allclose(alone["sem_seg"], together["sem_seg"], atol=1e-5)
        assert torch.equal(alone["panoptic_seg"][0], together["panoptic_seg"][0])
        scores = alone["instances"].scores, together["instances"].scores
        assert torch.allclose(*scores, atol=1e-5)
