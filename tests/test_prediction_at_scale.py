"""Prediction by many processes that may be killed: the same files as one gives in one go."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from kmax_deeplab.data.format.pngs import read_predictions
from kmax_deeplab.predict.shares import Share, find_share, read_share
from tests.own_data import OwnData
from tests.processes import CLEAN, TORCHRUN, wait_for
from tests.scripts import ROOT, exit_status, load_script
from tests.test_own_data import data, trained  # noqa: F401  fixtures

SCRIPT = str(ROOT / "tools" / "predict.py")


def test_shares_are_disjoint_whole_and_independent_of_the_order():
    names = [f"image {i}" for i in range(11)]
    shares = [Share(i, 3).of(names[::-1]) for i in range(3)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert shares == [Share(i, 3).of(names) for i in range(3)]


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({}, Share(0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Share(3, 8, 1)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}, Share(3, 8, 1)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_MIN": "5",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_PROCID": "0",
            },
            Share(2, 4),
        ),
    ],
)
def test_launchers_say_which_share_a_process_has(variables, share):
    assert find_share(variables) == share


@pytest.mark.parametrize(
    ("word", "complaint"), [("9/8", "there is none"), ("0/2", "none"), ("x", "2/8")]
)
def test_a_share_that_cannot_be_is_refused(word, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_share(word)


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """Images, words of the command, and what one process predicts in one go."""
    output, _ = trained
    root = tmp_path_factory.mktemp("scale")
    images = OwnData(root / "data", count=10).images
    words = ["--weights", output / "model_final.pth", images]
    assert exit_status(load_script("tools/predict.py").main, *words, "--output", root / "one") == 0
    return root / "one", [str(word) for word in words]


def assert_same_predictions(folder, other):
    first, second = (list(read_predictions(x / "predictions.json")) for x in (folder, other))
    assert [entry for entry, _ in first] == [entry for entry, _ in second] and first
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    assert not list(folder.rglob("*partial*"))


@pytest.mark.slow
def test_a_killed_prediction_goes_on_where_it_was(whole, tmp_path, capsys):
    one, words = whole
    words = [*words, "--output", str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, SCRIPT, *words], env=CLEAN)
    entries = tmp_path / "out" / ".entries"
    wait_for(lambda: len(list(entries.rglob("[0-9]*.json"))) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in entries.rglob("[0-9]*.json")}
    assert exit_status(load_script("tools/predict.py").main, *words) == 0
    assert f"{len(done)} of 10 images are predicted already" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    assert_same_predictions(tmp_path / "out", one)


@pytest.mark.slow
def test_torchrun_shares_the_images(whole, tmp_path):
    one, words = whole
    launcher = [*TORCHRUN, "--nproc-per-node=2", SCRIPT, *words, "--output", str(tmp_path)]
    subprocess.run(launcher, env=CLEAN, check=True, capture_output=True)
    assert_same_predictions(tmp_path, one)


@pytest.mark.slow
def test_shares_by_hand_meet_in_one_json(whole, tmp_path):
    one, words = whole
    main = load_script("tools/predict.py").main
    for share, count in (("2/3", 3), ("1/3", 7), ("3/3", 10)):
        assert exit_status(main, *words, "--output", tmp_path, "--share", share) == 0
        assert len(json.loads((tmp_path / "predictions.json").read_text())["annotations"]) == count
    assert_same_predictions(tmp_path, one)


@pytest.mark.slow
def test_predictions_of_other_weights_are_not_mixed(whole, trained, tmp_path):
    _, words = whole
    main = load_script("tools/predict.py").main
    state = torch.load(trained[0] / "model_final.pth")
    state["model"]["sem_seg_head.predictor.cluster_centers.weight"] += 1
    torch.save(state, tmp_path / "other.pth")
    other = ["--weights", tmp_path / "other.pth", *words[2:], "--output", tmp_path / "out"]
    assert exit_status(main, *words, "--output", tmp_path / "out") == 0
    said = exit_status(main, *other)
    assert "holds another run" in said and "--restart" in said and "weights" in said
    assert exit_status(main, *other, "--restart") == 0


@pytest.mark.slow
def test_a_newer_image_is_predicted_anew(whole, tmp_path, capsys):
    _, words = whole
    data = OwnData(tmp_path / "data", count=3)
    words = [*words[:2], data.images, "--output", tmp_path / "out"]
    main = load_script("tools/predict.py").main
    for expected in ("", "3 of 3 images are predicted already", "2 of 3 images"):
        if expected.startswith("2"):
            data.image_path(1).touch()
        assert exit_status(main, *words) == 0
        assert expected in capsys.readouterr().out
