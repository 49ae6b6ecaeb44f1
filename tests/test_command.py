"""What a command line says at its end."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from kmax_deeplab import command
from kmax_deeplab.data.format.categories import Categories

ROOT = Path(__file__).parents[1]


def refuse():
    Categories.from_json([])


def test_a_refusal_ends_with_its_sentence_and_a_fault_with_its_traceback():
    with pytest.raises(SystemExit, match="the list of categories is empty"):
        command.run(refuse)
    with pytest.raises(ZeroDivisionError):
        command.run(lambda: 1 // 0)
    with pytest.raises(ValueError, match="invalid literal"):
        command.run(lambda: int("x"))
    with pytest.raises(ValueError, match="broadcast"):
        command.run(lambda: np.zeros(2) + np.zeros(3))


class Refusing:
    """A dataset of which reading an item is refused, or fails."""

    def __init__(self, work):
        self.work = work

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.work()


def fail():
    return 1 // 0


@pytest.mark.slow
def test_what_a_process_that_loads_data_refuses_is_the_same_sentence():
    with pytest.raises(SystemExit) as ended:
        command.run(lambda: next(iter(DataLoader(Refusing(refuse), num_workers=1))))
    assert ended.value.code == "the list of categories is empty: a dataset needs at least one"
    with pytest.raises(ZeroDivisionError):
        command.run(lambda: next(iter(DataLoader(Refusing(fail), num_workers=1))))


@pytest.mark.slow
def test_what_the_system_refuses_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="none"):
        command.run((tmp_path / "none").read_bytes)


def test_the_status_is_that_of_the_work():
    command.run(lambda: 0)
    command.run(lambda: None)
    with pytest.raises(SystemExit) as ended:
        command.run(lambda: 3)
    assert ended.value.code == 3


@pytest.mark.slow
def test_ctrl_c_ends_with_the_status_of_shells(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        command.run(interrupted)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nInterrupted.\n"


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_train_net_refuses_in_one_sentence(processes, tmp_path):
    words = ["--config-file", "configs/shapes/kmax_convnext_demo.yaml", "--num-gpus", processes]
    words += ["--dist-url", "auto", "OUTPUT_DIR", str(tmp_path), "SOLVER.MAXITER", "3"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "train_net.py", *words],
        **{"cwd": ROOT, "env": environment, "capture_output": True, "text": True},
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1
    sentence = "the config has no key 'SOLVER.MAXITER'; meant is perhaps SOLVER.MAX_ITER"
    assert said == [sentence]
