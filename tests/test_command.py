"""What a command line says at its end."""

import subprocess
import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from kmax_deeplab import command
from kmax_deeplab.data.format.categories import Categories
from tests.processes import CLEAN, ROOT, fork


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


REFUSED = [
    *("--config-file", str(ROOT / "configs/shapes/kmax_convnext_demo.yaml")),
    *("OUTPUT_DIR", "none", "SOLVER.MAXITER", "3"),
]
REFUSAL = "the config has no key 'SOLVER.MAXITER'; meant is perhaps SOLVER.MAX_ITER"


@pytest.mark.slow
def test_train_net_refuses_in_one_sentence():
    done = subprocess.run(
        [sys.executable, "train_net.py", *REFUSED],
        **{"cwd": ROOT, "env": CLEAN, "capture_output": True, "text": True},
    )
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line] == [REFUSAL]


@pytest.mark.slow
def test_the_processes_that_it_starts_refuse_in_one_sentence_too(tmp_path):
    words, said = ["--num-gpus", "2", "--dist-url", "auto", *REFUSED], tmp_path / "said.txt"
    process = fork("main", "train", words, output=said)
    process.join(90)
    assert process.exitcode == 1
    assert [line for line in said.read_text().splitlines() if line] == [REFUSAL]
