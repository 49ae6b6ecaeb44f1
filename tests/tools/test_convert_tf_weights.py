"""The converter of TensorFlow checkpoints, as a user calls it."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from kmax_deeplab.checkpoint import KMaXCheckpointer
from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.checkpoint.tensorflow import files
from kmax_deeplab.modeling.folding import fold_norms
from kmax_deeplab.predict.predictor import load_model
from tests.checkpoint.test_tensorflow import checkpoint
from tests.d2.config.test_keys import config

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "convert-tf-weights-to-d2.py"


def test_its_output_fills_the_model_of_the_config_that_it_names(tmp_path, monkeypatch, capsys):
    variables = checkpoint("ade20k_kmax_meta_r50_os32")
    monkeypatch.setattr(files, "read_variables", lambda path: variables)
    output = tmp_path / "converted.pkl"
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "named-like-coco-maxs.npz", str(output)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    assert "ade20k r50 with 128 queries, 1184 variables" in said
    file = "ade20k/panoptic_segmentation/tf_kmax_r50.yaml"
    assert f"--config-file configs/{file}" in said
    model = build_model(config("MODEL.DEVICE", "cpu", file=file))
    KMaXCheckpointer(model).load_complete(str(output))
    known = read_identity(output)
    assert len(known.categories) == 150 and known.categories.names[0] == "wall"
    state = model.state_dict().values()
    assert not any(torch.count_nonzero(value) for value in state)
    fold_norms(model)  # as a model that only predicts has it
    assert load_model(output, "cpu").state_dict().keys() == model.state_dict().keys()


def test_a_checkpoint_of_another_network_ends_it_with_one_line(tmp_path):
    np.savez(tmp_path / "other.npz", **{"dense/kernel": np.zeros(3, np.float32)})
    command = [sys.executable, SCRIPT, tmp_path / "other.npz", tmp_path / "out.pkl"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parent)
    assert done.returncode == 1
    assert done.stderr.startswith("this is no checkpoint of a kMaX-DeepLab")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("output", ["out.pth", "missing/out.pkl"])
def test_an_output_that_cannot_be_written_is_refused_first(output, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "in.npz", str(tmp_path / output)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "out.p" in capsys.readouterr().err
