"""Whole runs from the command line: train, resume, evaluate, on one and on two processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train_net
from kmax_deeplab.checkpoint.parts import part_of

ROOT = Path(train_net.__file__).parent
CONFIG = str(ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml")

TINY = {
    "MODEL.DEVICE": "cpu",
    "MODEL.CONVNEXT.DEPTHS": [1, 1, 1, 1],
    "MODEL.CONVNEXT.DIMS": [8, 16, 32, 64],
    "MODEL.CONVNEXT.DROP_PATH_RATE": 0.2,
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": [1, 1, 1, 1],
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": [16, 16, 16, 16],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DEC_LAYERS": [1, 1, 1],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS": [64, 64, 64, 64],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES": 12,
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DROP_PATH_PROB": 0.2,
    "MODEL.KMAX_DEEPLAB.PIXEL_INSDIS_SAMPLE_K": 64,
    "MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_SAMPLE_K": 64,
    "INPUT.IMAGE_SIZE": [65, 65],
    "INPUT.MIN_SIZE_TEST": 65,
    "INPUT.MAX_SIZE_TEST": 65,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.WARMUP_ITERS": 1,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "SEED": -1,
}


def command(data: Path, output: Path, *flags: str, **changes: object) -> list[str]:
    """Returns a command line for the tiny model on a "shapes" folder."""
    datasets = [
        {
            "name": f"shapes_{split}",
            "images": str(data / split / "images"),
            "json": str(data / split / "panoptic.json"),
            "pngs": str(data / split / "panoptic"),
        }
        for split in ("train", "val")
    ]
    places = {"DATASETS.PANOPTIC": datasets, "OUTPUT_DIR": output}
    options = [str(x) for pair in {**TINY, **places, **changes}.items() for x in pair]
    return ["--config-file", CONFIG, *flags, *options]


def run(*arguments: object, **changes: object) -> dict:
    """Runs train_net.py in this process and returns its results."""
    return train_net.main(train_net.parse_args(command(*arguments, **changes)))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tensors this small gain nothing from a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(shapes, tmp_path_factory):
    """Output folder and results of an uninterrupted run."""
    output = tmp_path_factory.mktemp("finished")
    return output, run(shapes, output)


def assert_same(first: object, second: object, where: str) -> None:
    """Compares nested checkpoints to the last bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(finished, shapes, tmp_path):
    output, results = finished
    for name in ("model_0000001.pth", "metrics.json"):
        shutil.copy(output / name, tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    assert run(shapes, tmp_path, "--resume") == results
    checkpoints = [torch.load(folder / "model_final.pth") for folder in (output, tmp_path)]
    assert_same(*checkpoints, where="checkpoint")
    logs = [(folder / "metrics.json").read_text().splitlines() for folder in (output, tmp_path)]
    iterations = [[json.loads(line)["iteration"] for line in log] for log in logs]
    assert iterations[0] == iterations[1]


def test_evaluating_a_checkpoint_repeats_the_results_of_its_training(finished, shapes, tmp_path):
    output, results = finished
    weights = {"MODEL.WEIGHTS": output / "model_final.pth"}
    assert run(shapes, tmp_path, "--eval-only", **weights) == results


def test_evaluation_refuses_a_checkpoint_that_leaves_parameters_untouched(
    finished, shapes, tmp_path
):
    state = torch.load(finished[0] / "model_final.pth")["model"]
    left_out = next(name for name in state if name.startswith("sem_seg_head."))
    del state[left_out]
    torch.save({"model": state}, tmp_path / "torn.pth")
    with pytest.raises(ValueError, match=left_out):
        run(shapes, tmp_path, "--eval-only", **{"MODEL.WEIGHTS": tmp_path / "torn.pth"})


def test_evaluation_needs_a_checkpoint(shapes, tmp_path):
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS"):
        run(shapes, tmp_path, "--eval-only")


def test_fine_tuning_from_other_classes_is_one_flag(finished, shapes, tmp_path):
    state = torch.load(finished[0] / "model_final.pth")["model"]
    state = {name: v[:5] if part_of(name) == "classes" else v for name, v in state.items()}
    torch.save({"model": state}, tmp_path / "other.pth")
    changes = {"MODEL.WEIGHTS": tmp_path / "other.pth", "SOLVER.MAX_ITER": 1}
    with pytest.raises(ValueError, match=r"add MODEL\.KMAX_DEEPLAB\.REINITIALIZE \"\['classes'\]"):
        run(shapes, tmp_path, **changes)
    run(shapes, tmp_path, **changes, **{"MODEL.KMAX_DEEPLAB.REINITIALIZE": ["classes"]})
    said = next(line for line in (tmp_path / "log.txt").open() if "re-initialised" in line)
    assert "transformer_class_head.conv.weight" in said


def test_a_run_without_config_lists_the_configs(capsys):
    with pytest.raises(SystemExit):
        train_net.parse_args([])
    assert os.path.join("configs", "shapes", "kmax_convnext_demo.yaml") in capsys.readouterr().err


def test_two_cpu_processes_train_and_evaluate_together(shapes, tmp_path):
    arguments = command(shapes, tmp_path, "--num-gpus", "2", "--dist-url", "auto")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    script = [sys.executable, str(ROOT / "train_net.py")]
    subprocess.run([*script, *arguments, "SOLVER.MAX_ITER", "1"], check=True, env=environment)
    last = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert "panoptic_seg/PQ" in last
