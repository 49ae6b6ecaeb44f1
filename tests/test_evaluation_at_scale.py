"""Evaluations that are killed, gone on with, or shared by tasks that know nothing of each other."""

import json
import shutil

import pytest
import torch

from kmax_deeplab.d2.evaluation.snapshots import Snapshots
from tests.processes import Ranks
from tests.test_train_net import finished, run  # noqa: F401  a fixture
from tests.tiny_run import command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

EVERYTHING = {
    "MODEL.KMAX_DEEPLAB.TEST.SEMANTIC_ON": True,
    "MODEL.KMAX_DEEPLAB.TEST.INSTANCE_ON": True,
    "TEST.SAVE_PREDICTIONS": True,
    "MODEL.KMAX_DEEPLAB.TEST.CLASS_THRESHOLD_THING": 0.05,
    "MODEL.KMAX_DEEPLAB.TEST.CLASS_THRESHOLD_STUFF": 0.05,
    "MODEL.KMAX_DEEPLAB.TEST.PIXEL_CONFIDENCE_THRESHOLD": 0.0,
    "MODEL.KMAX_DEEPLAB.TEST.OVERLAP_THRESHOLD": 0.0,
    "DATALOADER.NUM_WORKERS": 0,
    "DIST.TIMEOUT": 20,
}


@pytest.fixture(scope="module")
def whole(finished, shapes, tmp_path_factory):
    """Changes of the config, and an evaluation of 6 images in one go."""
    changes = {**EVERYTHING, "DATASETS.TEST": ("shapes_train",)}
    changes["MODEL.WEIGHTS"] = finished[0] / "model_final.pth"
    output = tmp_path_factory.mktemp("evaluated")
    results = run(shapes, output, "--eval-only", **changes)
    assert results["sem_seg"]["mIoU"] > 0
    return changes, output, results


def assert_same_files(folder, other):
    for name in ("results.json", "predictions.json", "coco_instances_results.json"):
        first, second = (json.loads((x / "inference" / name).read_text()) for x in (folder, other))
        assert first == second, name
    pngs = [
        sorted(p.name for p in (x / "inference/predictions").iterdir()) for x in (folder, other)
    ]
    assert pngs[0] == pngs[1] and len(pngs[0]) == 6
    assert not list((folder / "inference").glob(".*"))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_evaluation_looks_at_no_image_twice(ranks, whole, shapes, tmp_path, logged):
    changes, output, _ = whole
    words = command(shapes, tmp_path, "--eval-only", **changes)
    killed = Ranks(1, "killed_in_evaluation", words, tmp_path)
    assert killed.finish() == [-9]
    done, _ = Snapshots(tmp_path / "inference", stamp_in(tmp_path)).load()
    assert len(done) == 5
    if ranks == 1:
        run(shapes, tmp_path, "--eval-only", **changes)
        assert "shapes_train: 5 of 6 images were evaluated before" in logged
    else:
        Ranks(2, "snapshots_of_the_main_process_alone", words, tmp_path).succeed()
    assert_same_files(tmp_path, output)


def stamp_in(folder):
    return (folder / "inference/.snapshots/stamp.txt").read_text()


def test_snapshots_of_other_weights_are_not_used(whole, shapes, tmp_path):
    changes, _, _ = whole
    words = command(shapes, tmp_path / "out", "--eval-only", **changes)
    assert Ranks(1, "killed_in_evaluation", words, tmp_path).finish() == [-9]
    copied = shutil.copy(changes["MODEL.WEIGHTS"], tmp_path / "other.pth")
    state = torch.load(copied)
    state["model"]["sem_seg_head.predictor.cluster_centers.weight"] += 1
    torch.save(state, copied)
    other = {**changes, "MODEL.WEIGHTS": copied}
    for name in ("out", "alone"):
        run(shapes, tmp_path / name, "--eval-only", **other)
    assert_same_files(tmp_path / "out", tmp_path / "alone")


def test_tasks_of_an_array_share_the_images_and_the_last_one_adds_up(
    whole, shapes, tmp_path, monkeypatch
):
    changes, output, results = whole
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    for task in (2, 0, 1):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        found = run(shapes, tmp_path, "--eval-only", **changes)
        assert found.keys() == (results.keys() if task == 1 else set())
    assert_same_files(tmp_path, output)
