"""Earlier runs are kept, runs go on from what is whole, and none shares its folder."""

import json
import os
import subprocess
import sys

import pytest
import torch

from kmax_deeplab.run_folder import (
    OccupiedError,
    find_start,
    forget_metrics_from,
    locked,
    require_vacant,
    set_aside,
    weights_in,
)

LINES = [f'{{"iteration": {iteration}, "loss": 1.0}}\n' for iteration in (19, 39, 59)]
FIRST, SECOND = "model_0000001.pth", "model_0000003.pth"


@pytest.fixture
def folder(tmp_path):
    """A run with two checkpoints, the second of which is the last."""
    for number, name in enumerate((FIRST, SECOND)):
        content = {"model": {"w": torch.zeros(1000)}, "trainer": {}, "iteration": number}
        torch.save(content, tmp_path / name)
        os.utime(tmp_path / name, (number, number))
    (tmp_path / "last_checkpoint").write_text(SECOND)
    return tmp_path


def test_a_run_goes_on_from_the_last_checkpoint(folder):
    assert find_start(folder) == (folder / SECOND, "")


def test_a_folder_without_checkpoints_is_a_beginning(tmp_path):
    assert find_start(tmp_path) == (None, "")
    assert find_start(tmp_path / "missing") == (None, "")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda f: (f / SECOND).write_bytes(b""), "the file is empty"),
        (lambda f: (f / SECOND).unlink(), "there is no such file"),
        (lambda f: truncate(f / SECOND), "the file is damaged or truncated"),
        (lambda f: ((f / SECOND).unlink(), (f / "last_checkpoint").unlink()), "there is no last"),
        (lambda f: ((f / SECOND).unlink(), (f / "last_checkpoint").write_text("")), "is empty"),
        (lambda f: torch.save({"model": {"w": torch.zeros(1)}}, f / SECOND), "weights alone"),
    ],
)
def test_a_broken_last_checkpoint_is_named_and_the_newest_whole_one_taken(folder, damage, fault):
    damage(folder)
    start, sentence = find_start(folder)
    assert start == folder / FIRST
    assert "last_checkpoint" in sentence and fault in sentence and FIRST in sentence


def test_a_folder_of_broken_checkpoints_is_refused(folder):
    for name in (FIRST, SECOND):
        truncate(folder / name)
    with pytest.raises(ValueError, match=rf"last_checkpoint names '{SECOND}'.*--restart"):
        find_start(folder)


def test_a_folder_with_checkpoints_is_no_place_for_another_run(folder, tmp_path):
    with pytest.raises(OccupiedError, match=rf"2 checkpoints.*{SECOND}.*--resume.*--restart"):
        require_vacant(folder)
    require_vacant(tmp_path / "missing")


def test_setting_a_run_aside_loses_nothing_of_it_and_touches_nothing_else(folder):
    (folder / "notes.txt").touch()
    (folder / "inference").mkdir()
    (folder / "inference" / "results.json").touch()
    for number in (1, 2):
        aside = set_aside(folder)
        assert aside == folder / f"earlier_{number}"
        (folder / "metrics.json").touch()
    assert (folder / "notes.txt").is_file()
    kept = {path.name for path in (folder / "earlier_1").iterdir()}
    assert kept == {FIRST, SECOND, "last_checkpoint", "inference"}
    require_vacant(folder)
    assert set_aside(folder / "missing") is None


@pytest.mark.slow
def test_a_folder_is_locked_until_its_process_dies(tmp_path):
    script = f"""
from pathlib import Path
from kmax_deeplab.run_folder import locked
with locked(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(OccupiedError, match="in use by another training"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_iterations_that_will_be_repeated_are_cut_off(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("".join(LINES))
    forget_metrics_from(path, 40)
    assert path.read_text() == "".join(LINES[:2])


def test_a_line_broken_by_a_kill_is_cut_off(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(LINES[0] + LINES[1][:-5])
    forget_metrics_from(path, 1000)
    assert path.read_text() == LINES[0]


def test_a_writer_that_has_the_file_open_goes_on_at_its_new_end(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("".join(LINES))
    with path.open("a") as writer:
        forget_metrics_from(path, 20)
        writer.write(LINES[2])
    assert path.read_text() == LINES[0] + LINES[2]


def test_scores_of_the_model_that_a_run_goes_on_with_stay(tmp_path):
    path = tmp_path / "metrics.json"
    scores = json.dumps({"iteration": 40, "panoptic_seg/PQ": 1.0}) + "\n"
    path.write_text(LINES[0] + LINES[1] + scores + LINES[2])
    forget_metrics_from(path, 40)
    assert path.read_text() == LINES[0] + LINES[1] + scores


def test_a_run_without_metrics_is_left_alone(tmp_path):
    forget_metrics_from(tmp_path / "metrics.json", 0)
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_of_a_folder_is_the_final_one_or_that_for_the_hub(tmp_path):
    assert weights_in("") == ""
    assert weights_in(str(tmp_path / "model.pth")) == str(tmp_path / "model.pth")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        weights_in(str(tmp_path))
    for name in ("model.safetensors", "model_final.pth", "model_final.safetensors"):
        (tmp_path / name).write_bytes(b"")
        assert weights_in(str(tmp_path)) == str(tmp_path / name)
