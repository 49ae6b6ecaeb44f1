"""Submitting to SLURM; with submitit installed also a whole job of two tasks on this machine."""

from unittest.mock import MagicMock

import pytest
import torch

from tests.scripts import load_script
from tests.tiny_run import command

slurm = load_script("tools/slurm.py")


def test_what_follows_two_dashes_is_the_training_s():
    args = slurm.parse_args(["--nodes", "2", "--slurm", "partition=a", "--", "--config-file", "c"])
    assert args.nodes == 2 and args.slurm == ["partition=a"]
    assert args.words == ["--config-file", "c"]


def test_without_submitit_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(slurm.sys.modules, "submitit", None)
    with pytest.raises(ValueError, match="pip install submitit"):
        slurm.submit(slurm.parse_args(["--", "--config-file", "c"]))


@pytest.mark.parametrize(("seconds", "requeued"), [(3400, True), (3200, False)])
def test_a_job_is_queued_again_if_its_time_was_over_and_not_if_somebody_ended_it(
    seconds, requeued, monkeypatch
):
    commands = []
    monkeypatch.setitem(slurm.sys.modules, "submitit", MagicMock())
    monkeypatch.setattr(slurm.train_net, "main", lambda _: None)  # stopped
    monkeypatch.setattr(slurm.subprocess, "run", lambda words, check: commands.append(words))
    monkeypatch.setattr(slurm, "BEGAN", slurm.time.monotonic() - seconds)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert slurm.Training(["--config-file", "c"], 3600)() is None
    assert commands == [["scontrol", "requeue", "7"]] * requeued


@pytest.mark.slow
def test_two_tasks_train_together_within_their_time(shapes, tmp_path):
    submitit = pytest.importorskip("submitit")
    words = command(shapes, tmp_path, **{"DATALOADER.NUM_WORKERS": 0})
    options = ["--cluster", "local", "--gpus", "2", "--hours", "1"]
    job = slurm.submit(slurm.parse_args([*options, "--", *words]))
    results = job.results()
    assert isinstance(job, submitit.Job) and "PQ" in results[0]["panoptic_seg"]
    content = torch.load(tmp_path / "model_final.pth")
    assert content["trainer"]["processes"] == 2
    assert "TIME_LIMIT: 3300" in content["config"]
