"""An exported model sees what `Predictor` sees, and needs no torch for it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from kmax_deeplab.predict.inputs import as_input, window_as_input
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.runtime.exported import ExportedModel
from kmax_deeplab.runtime.facts import Facts
from tests.scripts import ROOT
from tests.tiny_model import tiny_model

LIBRARIES = ("torch", "torchvision", "scipy", "timm", "cv2", "detectron2", "safetensors", "tqdm")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def inputs(model):
    before = model.inputs
    yield before
    model.inputs = before


def as_if_exported(model, batch=None):
    """The model itself, run as an exported network is: normalised, padded pixels enter."""

    def run(pixels):
        normalised = (torch.from_numpy(pixels) - model.pixel_mean) / model.pixel_std
        with torch.no_grad():
            final = model.sem_seg_head(model.backbone(normalised)).predictions[-1]
        return [final.class_logits.numpy(), final.mask_logits.numpy()]

    facts = Facts(model.categories, model.inputs, model.merge, {}, {})
    return ExportedModel(Facts.from_texts(facts.to_texts()), run, batch)


def noise(height, width):
    small = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height)))


@pytest.mark.parametrize("size", [(50, 90), (65, 65), (33, 20), (1, 1)])
def test_the_network_sees_the_very_bytes_that_the_predictor_shows_it(model, inputs, size):
    image, exported = noise(*size), as_if_exported(model)
    seen = exported.prepare(image)
    expected = model.preprocess([as_input(image, inputs.shorter_side, inputs.longer_side)])
    mean, std = (np.float32(getattr(inputs, name)[0]) for name in ("pixel_mean", "pixel_std"))
    assert np.array_equal((seen - mean) / std, expected[0].numpy())


def test_windows_are_resized_as_the_predictor_does(model, inputs):
    model.inputs = replace(inputs, tile=40)
    part = noise(40, 33)
    height, width = (resized := window_as_input(part, 40, inputs.shorter_side)).shape[1:]
    assert np.array_equal(as_if_exported(model).prepare(part)[:, :height, :width], resized.numpy())


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("tile", [0, 50])
def test_segments_are_those_of_the_predictor(model, inputs, tile, batch):
    model.inputs = replace(inputs, tile=tile)
    image = noise(60, 70)
    expected = Predictor(model)(image)
    ids, segments = as_if_exported(model, batch)(image)
    assert expected.panoptic.max() > 1
    assert np.array_equal(ids, expected.panoptic)
    found = [(s["id"], s["category_id"], s["isthing"], s["query"]) for s in segments]
    assert found == [(s.id, s.category_id, s.isthing, s.query) for s in expected.segments]


def test_an_image_that_does_not_fit_is_refused_with_the_way_out(model, inputs):
    model.inputs = replace(inputs, image_size=[33, 65])
    with pytest.raises(ValueError, match=r"65 × 65, but this file takes 33 × 65.*--size"):
        as_if_exported(model)(noise(40, 40))


def test_an_answer_that_is_none_is_refused(model):
    exported = as_if_exported(model)
    exported.network = lambda pixels: [np.full((1, 8, 5), np.nan), np.zeros((1, 8, 17, 17))]
    with pytest.raises(ValueError, match="NaN"):
        exported(noise(40, 40))


def test_texts_of_another_program_are_refused():
    with pytest.raises(ValueError, match=r"tools/export\.py"):
        Facts.from_texts({"author": "somebody"})


def test_nothing_that_the_runner_imports_needs_torch():
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {LIBRARIES!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import runpy
import kmax_deeplab.runtime.exported
runpy.run_path("tools/run_onnx.py", run_name="imported")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
