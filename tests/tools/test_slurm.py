"""Submitting to SLURM; with submitit installed also a whole job of two tasks on this machine."""

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
