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
from kmax_deeplab.d2.engine.trainer import Trainer
from tests.tiny_run import ROOT, command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def run(*arguments: object, **changes: object) -> dict:
    """Runs train_net.py in this process and returns its results."""
    return train_net.main(train_net.parse_args(command(*arguments, **changes)))


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
    configs = [checkpoint.pop("config") for checkpoint in checkpoints]
    assert configs[0].replace(str(output), str(tmp_path)) == configs[1]
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


WATCH = """
import sys
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("panoptic.json") and arguments[1] == "r":
        with open({log!r}, "a") as file:
            file.write(str(arguments[0]) + "\\n")
sys.addaudithook(watch)
"""
"""Start-up code of a process that notes which panoptic JSONs it opens to read."""


def test_two_cpu_processes_train_and_evaluate_together(shapes, tmp_path):
    changes = {"SOLVER.MAX_ITER": 1}
    arguments = command(shapes, tmp_path, "--num-gpus", "2", "--dist-url", "auto", **changes)
    (tmp_path / "site").mkdir()
    opened = tmp_path / "opened.txt"
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH.format(log=str(opened)))
    places = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    script = [sys.executable, str(ROOT / "train_net.py")]
    environment["PYTHONPATH"] = places
    subprocess.run([*script, *arguments], check=True, env=environment)
    jsons = [str(shapes / split / "panoptic.json") for split in ("train", "val")]
    assert sorted(opened.read_text().splitlines()) == jsons  # each is parsed once, by one process
    last = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert "panoptic_seg/PQ" in last


def snapshot(folder: Path) -> dict[str, bytes]:
    """Reads all files of a folder but the log and the lock."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p): p.read_bytes() for p in files if p.name not in ("log.txt", ".lock")}


def test_a_finished_run_is_not_overwritten_but_set_aside(shapes, tmp_path):
    changes = {"SOLVER.MAX_ITER": 1}
    run(shapes, tmp_path, **changes)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=r"model_final\.pth.*--resume.*--restart"):
        run(shapes, tmp_path, **changes)
    assert snapshot(tmp_path) == before
    run(shapes, tmp_path, "--restart", **changes)
    aside = snapshot(tmp_path / "earlier_1")
    moved = {name.replace("/earlier_1", ""): content for name, content in aside.items()}
    assert {n: c for n, c in moved.items() if "log.txt" not in n} == before
    assert (tmp_path / "model_final.pth").is_file()


def test_a_refused_resume_changes_nothing(finished, shapes, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    before = snapshot(tmp_path / "run")
    other = {"MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES": 20}
    with pytest.raises(ValueError, match="does not fit this model"):
        run(shapes, tmp_path / "run", "--resume", **other)
    assert {n: c for n, c in snapshot(tmp_path / "run").items() if "tfevents" not in n} == {
        n: c for n, c in before.items() if "tfevents" not in n
    }


def test_what_a_resumed_run_does_otherwise_is_used_and_said(finished, shapes, tmp_path):
    output, _ = finished
    for name in ("model_0000001.pth", "config.yaml"):
        shutil.copy(output / name, tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_gone.pth")
    run(shapes, tmp_path, "--resume", **{"SOLVER.BASE_LR": 0.25, "SOLVER.MAX_ITER": 3})
    log = (tmp_path / "log.txt").read_text()
    assert "last_checkpoint names 'model_gone.pth'" in log
    assert "Continuing from model_0000001.pth" in log
    assert "SOLVER.BASE_LR: " in log and "→ 0.25" in log and "SOLVER.MAX_ITER: 4 → 3" in log
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    (rate,) = (line["lr"] for line in lines if "lr" in line)
    assert rate == pytest.approx(0.25 * (1 - 2 / 3) ** 0.9)


def test_a_resume_onto_other_class_names_is_refused(finished, shapes, tmp_path):
    output, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(finished[0], output)
    shutil.copytree(shapes, data)
    for split in ("train", "val"):
        path = data / split / "panoptic.json"
        content = json.loads(path.read_text())
        content["categories"][0]["name"] = "another"
        path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"no class 'another'[^$]*a run to resume keeps its"):
        names = {"DATASETS.TRAIN": ("renamed_train",), "DATASETS.TEST": ("renamed_val",)}
        datasets = [
            {"name": f"renamed_{split}", "images": str(data / split / "images")}
            | {"json": str(data / split / "panoptic.json"), "pngs": str(data / split / "panoptic")}
            for split in ("train", "val")
        ]
        run(shapes, output, "--resume", **{"DATASETS.PANOPTIC": datasets, **names})


def poison(trainer, name, at):
    """Makes the gradient of a parameter NaN in one iteration."""

    def hook(gradient):
        return gradient * float("nan") if trainer.iter == at else gradient

    dict(trainer.model.named_parameters())[name].register_hook(hook)


def test_a_nan_gradient_changes_nothing_but_the_count(shapes, tmp_path, monkeypatch):
    begin = Trainer.begin

    def begin_poisoned(trainer, start):
        begin(trainer, start)
        named = dict(trainer.model.named_parameters())
        poison(trainer, next(n for n in named if n.endswith("cluster_centers.weight")), 1)

    monkeypatch.setattr(Trainer, "begin", begin_poisoned)
    run(shapes, tmp_path, **{"SOLVER.CHECKPOINT_PERIOD": 1, "SOLVER.MAX_ITER": 3})
    saved = [torch.load(tmp_path / f"model_{i:07d}.pth")["model"] for i in range(3)]
    changed = [name for name in saved[0] if not torch.equal(saved[0][name], saved[1][name])]
    assert all(name.endswith("num_batches_tracked") for name in changed)
    assert not all(torch.equal(saved[1][name], saved[2][name]) for name in saved[1])
    assert (
        "Iteration 2: gradient not finite in float32. The step is skipped"
        in (tmp_path / "log.txt").read_text()
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [line["skipped_steps"] for line in lines if "skipped_steps" in line] == [1]


def test_weights_that_are_not_finite_never_reach_a_checkpoint(shapes, tmp_path, monkeypatch):
    step = Trainer.run_step

    def spoil(trainer):
        step(trainer)
        if trainer.iter == 3:
            next(trainer.model.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "run_step", spoil)
    with pytest.raises(ValueError, match=r"model_0000003\.pth is not written: 1 of .*weight"):
        run(shapes, tmp_path)
    assert [path.name for path in tmp_path.glob("model_*.pth")] == ["model_0000001.pth"]


def test_weights_that_are_not_finite_are_refused_by_name(finished, shapes, tmp_path):
    content = torch.load(finished[0] / "model_final.pth")
    name = next(n for n in content["model"] if n.endswith("running_var"))
    content["model"][name][0] = float("inf")
    torch.save(content, tmp_path / "broken.pth")
    weights = {"MODEL.WEIGHTS": tmp_path / "broken.pth"}
    with pytest.raises(ValueError, match=rf"broken\.pth cannot be used: 1 of .*{name}"):
        run(shapes, tmp_path / "out", "--eval-only", **weights)
