"""A tiny model, exported: the files see what it sees, and a file that does not is never there."""

import json
import os
import subprocess
import venv

import numpy as np
import pytest
import torch
from PIL import Image

from kmax_deeplab.checkpoint.identity import identity_of
from kmax_deeplab.data.format.pngs import read_predictions
from kmax_deeplab.export import parity
from kmax_deeplab.export.network import ExportedNetwork, resized_inputs
from kmax_deeplab.model.description import InputDescription
from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import ROOT, exit_status, load_script
from tests.tiny_model import tiny_model

pytestmark = pytest.mark.slow

RUN = "tools/run_onnx.py"
NEEDED = ["onnxruntime", "numpy", "Pillow"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with model.pth and photo.png."""
    root = tmp_path_factory.mktemp("export")
    model = tiny_model(folded=False)
    torch.save({"model": model.state_dict(), **identity_of(model).to_json()}, root / "model.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 56)).save(root / "photo.png")
    return root


def export(place, output, *words):
    main = load_script("tools/export.py").main
    known = ["--weights", place / "model.pth", "--image", place / "photo.png"]
    return exit_status(main, *known, "--output", output, *words)


@pytest.fixture(scope="module")
def onnx_files(place):
    """Where model.onnx, model.half.onnx and model.int8.onnx lie; their batch is open."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    assert export(place, place / "out/model.onnx", "--half", "--int8", "--batch", "dynamic") == 0
    return place / "out"


def test_a_program_of_torch_export_is_the_model_at_any_batch(place, tmp_path, capsys):
    path = tmp_path / "model.pt2"
    assert export(place, path, "--batch", "dynamic", "--size", "49", "65") == 0
    assert "0 of 4480 pixels have another id" in capsys.readouterr().out
    texts = {"input": "", "categories": ""}
    network = torch.export.load(path, extra_files=texts).module()
    inputs = InputDescription(**json.loads(texts["input"]))
    assert inputs.image_size == [49, 65]
    model = Predictor(place / "model.pth", device="cpu").model
    pixels = 255 * torch.rand(3, 3, 49, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for found, expected in zip(network(pixels), ExportedNetwork(model)(pixels), strict=True):
            assert torch.allclose(found, expected, atol=1e-4)


def test_onnx_files_hold_what_is_needed_and_standard_operators_only(onnx_files, place):
    import onnx

    from kmax_deeplab.export.onnx_file import OPSET, require_standard
    from kmax_deeplab.runtime.onnx_session import open_onnx

    predict = Predictor(place / "model.pth", device="cpu")
    for kind in ("", ".half", ".int8"):
        path = onnx_files / f"model{kind}.onnx"
        assert require_standard(onnx.load(path))["Conv"] or kind == ".int8"
        facts = open_onnx(path).facts
        assert facts.categories == predict.categories
        assert (facts.inputs, facts.merge) == (predict.inputs, predict.model.merge)
        assert facts.made["opset"] == OPSET
        assert facts.made["from"] == "model.pth"
        assert facts.checked["pixels"] == 56 * 80
    assert {path.suffix for path in onnx_files.iterdir()} == {".onnx"}


def test_onnxruntime_sees_what_pytorch_sees(onnx_files, place):
    from kmax_deeplab.runtime.onnx_session import open_onnx

    model, predict = open_onnx(onnx_files / "model.onnx"), Predictor(place / "model.pth", "cpu")
    assert model.batch is None
    rng = np.random.default_rng(1)
    for size in ((90, 40), (65, 65), (20, 31)):
        image = np.asarray(
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(size)
        )
        parity.compare(predict, model, image).require()
        assert np.array_equal(model(image)[0], predict(image).panoptic)


def test_the_runner_writes_what_panopticapi_reads_and_names_what_it_cannot_read(
    onnx_files, place, tmp_path, capsys
):
    main = load_script(RUN).main
    (tmp_path / "images").mkdir()
    (tmp_path / "images/bad.png").write_bytes(b"no image")
    (tmp_path / "images/photo.png").write_bytes((place / "photo.png").read_bytes())
    words = [onnx_files / "model.onnx", tmp_path / "images", "--output", tmp_path / "seen"]
    assert exit_status(main, *words) == 1
    assert "bad.png cannot be read" in capsys.readouterr().err
    expected = Predictor(place / "model.pth", device="cpu")(place / "photo.png")
    ((entry, ids),) = read_predictions(tmp_path / "seen/predictions.json")
    assert np.array_equal(ids, expected.panoptic)
    ours = expected.to_coco()["segments_info"]
    for found, wanted in zip(entry["segments_info"], ours, strict=True):
        assert found["score"] == pytest.approx(wanted["score"], abs=1e-3)
        assert {key: wanted[key] for key in found if key != "score"} == {
            key: value for key, value in found.items() if key != "score"
        }
    assert Image.open(tmp_path / "seen/overlays/photo.png").size == (80, 56)


def test_a_file_that_differs_is_refused_and_nothing_is_left(place, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    status = export(place, tmp_path / "model.pt2")
    assert "the exported model is not the same" in status
    assert list(tmp_path.iterdir()) == []


def test_onnx_that_differs_leaves_no_smaller_file_either(onnx_files, place, tmp_path, monkeypatch):
    import onnx

    from kmax_deeplab.export import onnx_models

    translated = onnx.load(onnx_files / "model.onnx")
    monkeypatch.setattr(onnx_models, "to_onnx", lambda program: translated)
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    assert "not the same" in export(place, tmp_path / "model.onnx", "--half")
    assert list(tmp_path.iterdir()) == []


def test_operators_that_are_not_standard_are_refused():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from kmax_deeplab.export.onnx_file import OPSET, require_standard

    def model(domain, opset=OPSET):
        node = onnx.helper.make_node("Gelu", ["x"], ["y"], domain=domain)
        graph = onnx.helper.make_graph([node], "g", [], [])
        ids = [onnx.helper.make_opsetid("", opset)]
        return onnx.helper.make_model(graph, opset_imports=ids)

    assert require_standard(model("")) == {"Gelu": 1}
    with pytest.raises(ValueError, match=r"com\.microsoft\.Gelu"):
        require_standard(model("com.microsoft"))
    with pytest.raises(ValueError, match="opset 19"):
        require_standard(model("", 19))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "model.pth"], "must end with"),
        (["--output", "model.pt2", "--half"], "are for ONNX"),
        (["--output", "model.pt2", "--batch", "0"], "--batch 0 must be a number"),
        (["--output", "model.pt2", "--size", "0", "65"], "--size 0 65"),
    ],
)
def test_words_that_cannot_be_are_refused(place, words, said):
    main = load_script("tools/export.py").main
    assert said in exit_status(main, "--weights", place / "model.pth", *words)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_the_runner_refuses_what_is_no_model(place, tmp_path, content):
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(content)
    status = exit_status(load_script(RUN).main, tmp_path / "model.onnx", place / "photo.png")
    assert "model.onnx cannot be used" in status
    assert "does not exist" in exit_status(load_script(RUN).main, "none.onnx", place / "photo.png")


def test_images_are_resized_in_proportion_to_another_input_size():
    inputs = InputDescription([1025, 2049], 1025, 2049, [0.0] * 3, [1.0] * 3)
    assert resized_inputs(inputs, None) == inputs
    half = resized_inputs(inputs, (513, 1025))
    assert (half.image_size, half.shorter_side, half.longer_side) == ([513, 1025], 513, 1025)


def test_segments_are_the_same_whatever_their_ids():
    first = np.array([[0, 1, 1, 2, 2, 2]])
    renamed = np.array([[0, 2, 2, 1, 1, 1]])
    classes, swapped = {1: 5, 2: 7}, {1: 7, 2: 5}
    assert parity.same_share((first, classes), (renamed, swapped)) == 1
    assert parity.same_share((first, classes), (renamed, classes)) == 1 / 6
    merged = np.array([[0, 1, 1, 1, 1, 1]])
    assert parity.same_share((first, {1: 7, 2: 7}), (merged, {1: 7})) == 4 / 6


@pytest.mark.skipif("SOAK" not in os.environ, reason="installs from PyPI; SOAK=1 runs it")
def test_the_runner_works_where_torch_is_not_installed(onnx_files, place, tmp_path):
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", *NEEDED], check=True, env=clean)
    code = (
        "import importlib.util as u; assert not u.find_spec('torch') and not u.find_spec('scipy')"
    )
    subprocess.run([python, "-I", "-c", code], check=True)
    words = [onnx_files / "model.onnx", place / "photo.png", "--output", tmp_path / "seen"]
    subprocess.run([python, ROOT / RUN, *words], check=True, env=clean, cwd=tmp_path)
    ((_, ids),) = read_predictions(tmp_path / "seen/predictions.json")
    expected = Predictor(place / "model.pth", device="cpu")(place / "photo.png")
    assert np.array_equal(ids, expected.panoptic)
