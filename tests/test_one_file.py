"""A checkpoint alone is enough to use a model: no config, no dataset, and no Detectron2."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

import train_net
from kmax_deeplab.checkpoint.files import read_checkpoint
from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.d2.engine.opening import PREDICT, open_model, open_run
from kmax_deeplab.predict.predictor import Predictor, load_model
from tests.golden import released
from tests.own_data import OwnData
from tests.scripts import ROOT, exit_status, load_script
from tests.tiny_run import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CONFIG = str(ROOT / "configs" / "custom" / "kmax_trial_on_cpu.yaml")
NOT_NEEDED = {
    *("detectron2", "fvcore", "iopath", "panopticapi", "yacs", "omegaconf", "hydra", "cv2"),
    *("pycocotools", "cityscapesscripts", "tensorboard", "cloudpickle", "black"),
}
FINDS_ANYTHING = {
    f"MODEL.KMAX_DEEPLAB.TEST.{key}": 0.0
    for key in ("CLASS_THRESHOLD_THING", "CLASS_THRESHOLD_STUFF", "PIXEL_CONFIDENCE_THRESHOLD")
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint, an image of another size than the network's, and nothing else of the run."""
    root = tmp_path_factory.mktemp("one_file")
    data = OwnData(root / "data")
    changes = {**TINY, **FINDS_ANYTHING, "SOLVER.MAX_ITER": 2, "OUTPUT_DIR": root / "run"}
    changes["DATASETS.PANOPTIC"] = [data.entry("gone")]
    words = [str(word) for pair in changes.items() for word in pair]
    train_net.main(train_net.parse_args(["--config-file", CONFIG, *words]))
    rng = np.random.default_rng(0)
    image = data.write_image(root / "photo.png", rng.integers(0, 256, (90, 130)))
    weights = Path(shutil.move(root / "run" / "model_final.pth", root / "model.pth"))
    shutil.rmtree(root / "run")
    shutil.rmtree(root / "data")
    return weights, image


def test_a_checkpoint_knows_classes_description_and_config(trained):
    known = read_identity(trained[0])
    assert known.categories.names == ("ground", "cell", "vessel")
    assert known.description.backbone["kind"] == "convnext"
    assert "MAX_ITER: 2" in known.config


def test_the_core_finds_what_detectron2s_model_does(trained):
    weights, image = trained
    run = open_run(None, weights=weights, purpose=PREDICT)
    models = (weights, open_model(run.cfg, run.categories))
    found = [Predictor(model)(image) for model in models]
    assert found[0].segments_info
    assert np.array_equal(found[0].panoptic, found[1].panoptic)
    assert found[0].segments_info == found[1].segments_info


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pkl"])
def test_conversions_and_half_precision_keep_what_it_knows(suffix, trained, tmp_path):
    weights, image = trained
    script, path = load_script("tools/convert_checkpoint.py"), tmp_path / f"model{suffix}"
    script.convert(script.parse_args([str(weights), str(path), "--dtype", "float16"]))
    assert read_identity(path) == read_identity(weights)
    assert Predictor(path)(image).panoptic.shape == (90, 130)


def test_what_prediction_does_not_need_can_be_left_out(trained, tmp_path):
    weights, image = trained
    script, path = load_script("tools/convert_checkpoint.py"), tmp_path / "slim.safetensors"
    words = ["--predict-only", "--note", "data=cells, CC0", "--note", "PQ = 61.0"]
    script.convert(script.parse_args([str(weights), str(path), *words]))
    known, before = read_identity(path), read_identity(weights)
    assert known.provenance == {"data": "cells, CC0", "PQ": "61.0"}
    assert (before.description.head.semantic, known.description.head.semantic) == ("head", None)
    assert str(weights.parent) in before.config
    assert str(weights.parent) not in known.config
    state = read_checkpoint(path)["model"]
    assert not [name for name in state if "semantic" in name or "num_batches" in name]
    (tmp_path / "config.yaml").write_text(before.config)
    runs = [open_run(c, weights=path, purpose=PREDICT) for c in (None, tmp_path / "config.yaml")]
    expected = Predictor(weights)(image)
    for model in (path, *(open_model(run.cfg, run.categories) for run in runs)):
        found = Predictor(model)(image)
        assert np.array_equal(found.panoptic, expected.panoptic)
        assert found.segments == expected.segments


def test_predict_needs_nothing_else_in_another_folder(trained, tmp_path, monkeypatch):
    weights, image = trained
    monkeypatch.chdir(tmp_path)
    main = load_script("tools/predict.py").main
    assert exit_status(main, "--weights", weights, image) == 0
    content = json.loads((tmp_path / "output/predictions/predictions.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["ground", "cell", "vessel"]


def test_an_environment_without_detectron2_gives_the_same_map(trained, tmp_path):
    weights, image = trained
    site = tmp_path / "site"
    site.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = entry.name.split(".")[0].split("-")[0]
        if name not in NOT_NEEDED and name not in sys.stdlib_module_names:
            (site / entry.name).symlink_to(entry)
    tool = str(ROOT / "tools" / "predict.py")
    code = f"""
import runpy, sys
import numpy as np
from kmax_deeplab import Predictor
predicted = Predictor({str(weights)!r}, device="cpu")({str(image)!r})
np.save({str(tmp_path / "map.npy")!r}, predicted.panoptic)
sys.argv = [{tool!r}, "--weights", {str(weights)!r}, {str(image)!r}]
sys.path.insert(0, {str(ROOT / "tools")!r})
runpy.run_path({tool!r}, run_name="__main__")
print([name for name in {sorted(NOT_NEEDED)!r} if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    there = np.load(tmp_path / "map.npy")
    assert np.array_equal(there, Predictor(weights, device="cpu")(image).panoptic)
    assert (tmp_path / "output/predictions/overlays/photo.png").is_file()


def test_weights_that_do_not_say_how_they_are_built_are_refused(trained, tmp_path):
    torch.save({"model": torch.load(trained[0])["model"]}, tmp_path / "bare.pth")
    with pytest.raises(ValueError, match=r"bare\.pth does not say which classes"):
        Predictor(tmp_path / "bare.pth")
    said = exit_status(
        load_script("tools/predict.py").main, "--weights", tmp_path / "bare.pth", trained[1]
    )
    assert "bare.pth does not say which config made it: name its config" in said


def test_a_released_file_with_its_config_becomes_one_that_is_enough(tmp_path):
    config = "coco/panoptic_segmentation/kmax_r50.yaml"
    torch.save({"model": released.checkpoint(config)}, tmp_path / "released.pth")
    assert len(read_identity(tmp_path / "released.pth").categories) == 133
    script = load_script("tools/convert_checkpoint.py")
    words = [str(tmp_path / "released.pth"), str(tmp_path / "ours.safetensors")]
    script.convert(script.parse_args([*words, "--config-file", str(ROOT / "configs" / config)]))
    model = load_model(tmp_path / "ours.safetensors", "cpu")
    assert model.categories.names[0] == "person"
    assert model.description.backbone["depth"] == 50


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"backbone": {"kind": "nothing"}}, "unknown backbone 'nothing'"),
        ({"backbone": {"kind": "convnext"}}, "cannot be built as the file describes it"),
        ({"version": 9}, "has version 9, this program reads 1"),
        ({"head": {}}, "missing .* required positional argument"),
        ({"input": {"image_size": [65]}}, "required positional|image_size"),
        ("text", "has version 'text'"),
    ],
)
def test_what_a_file_says_of_itself_that_cannot_be_is_refused_by_its_name(
    changes, complaint, trained, tmp_path
):
    content = torch.load(trained[0])
    described = content["description"]
    content["description"] = changes if isinstance(changes, str) else {**described, **changes}
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth.*({complaint})"):
        load_model(tmp_path / "odd.pth")


def test_categories_and_config_of_a_file_must_fit_it(trained, tmp_path):
    content = torch.load(trained[0])
    for key, value, complaint in (
        ("categories", content["categories"][:2], "2 categories, but 3 classes"),
        ("categories", 5, "cannot be"),
        ("config", 3, "config is 3, no text"),
        ("provenance", {"PQ": 61}, "no texts by their titles"),
    ):
        torch.save({**content, key: value}, tmp_path / "odd.pth")
        with pytest.raises(ValueError, match=rf"odd\.pth.*{complaint}"):
            read_identity(tmp_path / "odd.pth")
    with pytest.raises(FileNotFoundError, match=r"'.*gone\.pth' does not exist"):
        load_model(tmp_path / "gone.pth")
