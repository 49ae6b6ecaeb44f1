"""Every command of the pages runs, made small, in a folder as the pages take it to be."""

import logging
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kmax_deeplab.predict.predictor import Predictor
from tests.conftest import catalogs_kept
from tests.datasets import trees
from tests.datasets.prepared import registered
from tests.documentation import PAGES, ROOT, blocks, commands, on_page, without_launcher
from tests.made_small import SMALL, fill, make_small, name_output, on_one_process
from tests.stand_ins import furnish, link, write_weights

WITH_COMMANDS = [page for page in PAGES if blocks(page, "bash")]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NOT_RUN = {
    "pip install '.[export]'": "takes packages from the network",
    "pip install -r requirements-tf.txt": "takes packages from the network",
    "make install": "takes packages from the network; whoever runs these tests has done it",
    "make test": "runs these tests",
    "python tools/export.py --weights output/model_final.pth --output model.pt2 --batch dynamic": (
        "tests/export/test_export.py runs it on the smallest of models"
    ),
    "python convert-tf-weights-to-d2.py CKPT_PREFIX converted.pkl": (
        "tests/tools/test_convert_tf_weights.py runs it"
    ),
    "python train_net.py --config-file configs/coco/panoptic_segmentation/tf_kmax_maxs.yaml "
    "--eval-only MODEL.WEIGHTS converted.pkl": (
        "tests/tools/test_convert_tf_weights.py fills the model of such a config with such a file"
    ),
    "python tools/benchmark.py train --config-file "
    "configs/coco/panoptic_segmentation/kmax_r50.yaml --size 641 641 --batch 2": (
        "tests/tools/test_benchmark.py runs it on a smaller network"
    ),
    "python tools/analyze_model.py --config-file "
    "configs/coco/panoptic_segmentation/kmax_r50.yaml --batch 2": (
        "tests/tools/test_analyze_model.py runs it on smaller images"
    ),
    "make demo": "tests/tools/test_demo.py runs it with fewer and smaller images",
    "python tools/install_detectron2.py": "tests/tools/test_install_detectron2.py runs it",
}
"""Commands of the pages with the reason why they are not run here."""
PACKAGES = {
    "tools/web_demo.py": "gradio",
    "tools/export.py --weights output/model_final.pth --output model.onnx": "onnx",
    "tools/run_onnx.py": "onnxruntime",
    "tools/slurm.py": "submitit",
}
"""Beginnings of commands that need what is not always installed: without it they say so."""
TRAINED = {
    "output/model_final.pth": "output",
    "model_final.pth": ".",
    "output/mine": "output/mine",
    "output/other": "output/other",
    "data/cells/run": "data/cells/run",
}
"""What is there although no command of the page has made it, and the folder that it comes with."""
LEFT = {
    "README.md": "output/predictions/overlays/cells.png",
    "datasets/README.md": "output/demo/data/meta.json datasets/coco/panoptic_semseg_val2017",
    "docs/ADVANCED_USAGE.md": (
        "out.pth out.safetensors output/clusters/photo.clusters.png output/report.html "
        "output/mine/report.html FOLDER/report.html output/predictions/street.mp4"
    ),
    "docs/GETTING_STARTED.md": (
        "output/predictions/predictions.json output/inference output/training_3/earlier_1"
    ),
    "docs/own_data.md": (
        "output/check output/mine/predictions/overlays/plate0/well_001.png output/mine/report.html"
    ),
}
"""What pages say that there is, after their commands."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of checkpoints: those of others, and `trained`, a run of ours."""
    place = tmp_path_factory.mktemp("weights")
    furnish(place)
    write_weights(place, SMALL)
    trees.build_coco(place / "datasets")
    assert run(["datasets/prepare_coco.py", "--root", str(place / "datasets")]) == 0
    keys = ("CLASS_THRESHOLD_THING", "CLASS_THRESHOLD_STUFF", "PIXEL_CONFIDENCE_THRESHOLD")
    finds_anything = [w for key in keys for w in (f"MODEL.KMAX_DEEPLAB.TEST.{key}", "0.0")]
    words = ["OUTPUT_DIR", "trained", *SMALL, *finds_anything]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert run(["train_net.py", "--config-file", "mine.yaml", *words]) == 0
    (place / "trained" / "metrics.json").unlink()  # reports draw curves of it, which takes seconds
    return place


@pytest.fixture
def place(tmp_path, weights, monkeypatch):
    """The folder where a reader works."""
    furnish(tmp_path)
    link(tmp_path / "kmax_r50.pth", weights / "kmax_r50.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KMAX_WEIGHTS", str(weights / "timm"))
    monkeypatch.setenv("DETECTRON2_DATASETS", "datasets")
    if find_spec("gradio"):
        monkeypatch.setattr("gradio.Blocks.block_thread", lambda page: page.close())
    with registered(tmp_path / "datasets"):
        yield tmp_path


def run(words):
    """Runs a script of ours as `python` does; returns its exit status, or what it says instead."""
    script = ROOT / words[0]
    with pytest.MonkeyPatch.context() as patch, catalogs_kept(), listeners_kept():
        patch.setattr(sys, "argv", [str(script), *words[1:]])
        patch.syspath_prepend(script.parent)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as exit_:
            return exit_.code or 0
    return 0


@contextmanager
def listeners_kept():
    """Takes away who listens to logs since; of every run there are others."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "kmax_deeplab")]
    before = [list(logger.handlers) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers in zip(loggers, before, strict=True):
            for handler in {*logger.handlers} - {*handlers}:
                logger.removeHandler(handler)


def expand(words, folder):
    """Returns a command without its launcher; of make, what it would run in an environment."""
    if words[0] != "make":
        return [without_launcher(words)]
    folder.mkdir(exist_ok=True)
    for name in (".installed", ".web"):
        (folder / name).touch()
    dry = ["make", "--dry-run", "-C", ROOT, f"VENV={folder}", *words[1:]]
    shown = subprocess.run(dry, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if not line.startswith("make")]
    return commands("\n".join(lines).replace(f"{folder}/bin/python", "python"))


def bring_what_is_trained(words, weights):
    """Copies a trained model to where a command takes one to be."""
    for before, word in pairwise(["", *words]):
        if before in ("OUTPUT_DIR", "--output") or Path(word).exists():
            continue
        for name, folder in TRAINED.items():
            if Path(word).is_relative_to(name):
                shutil.copytree(weights / "trained", folder, dirs_exist_ok=True)


def give(script, words, weights):
    """Gives a command; it ends well, or says which package it lacks."""
    bring_what_is_trained(words, weights)
    status, command = run([script, *words]), shlex.join([script, *words])
    lacking = [name for start, name in PACKAGES.items() if command.startswith(start)]
    if lacking and find_spec(lacking[0]) is None:
        assert re.search(rf"pip install .*{lacking[0]}", str(status)), command
    else:
        assert status == 0, f"{command}\n{status}"


def given_on(pages, environment):
    """Yields page, script and words of every command that no page before has, for one process."""
    known = []
    for page in pages:
        for shown in on_page(page):
            calls = [] if shlex.join(shown) in NOT_RUN else expand(shown, environment)
            for python, script, *words in calls:
                assert python == "python", f"{shlex.join(shown)} is neither run nor listed"
                words = on_one_process([fill(word, words) for word in words])
                if (script, words) not in known:
                    yield page, script, words
                known.append((script, words))


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_runs(page, place, weights, tmp_path_factory):
    if page.parent.name == "datasets":
        for build in (trees.build_coco, trees.build_cityscapes, trees.build_ade20k):
            build(place / "datasets")
    else:
        link(place / "datasets" / "coco", weights / "datasets" / "coco")
    trainings = []
    for first, script, words in given_on(WITH_COMMANDS, tmp_path_factory.mktemp("environment")):
        if first == page:
            named = name_output(words, trainings) if script == "train_net.py" else words
            give(script, make_small(script, named), weights)
    for path in LEFT.get(str(page.relative_to(ROOT)), "").split():
        assert (place / path).exists(), path


@pytest.mark.parametrize(("page", "name"), [("README", "cells"), ("docs/GETTING_STARTED", "photo")])
def test_the_python_of_a_page_finds_segments(page, name, place, weights, capsys):
    shutil.copytree(weights / "trained", place / "output")
    names = {}
    (example,) = blocks(ROOT / f"{page}.md", "python")
    exec(example, names)
    seen = names["seen"]
    shown = [line for line in capsys.readouterr().out.splitlines() if " pixels" in line]
    assert len(shown) == len(seen.segments) > 0
    assert {*np.unique(seen.panoptic)} - {0} == {segment.id for segment in seen.segments}
    assert Path(f"output/{name}/{name}.json").is_file()


def test_the_python_for_launchers_trains(place):
    (example,) = blocks(ROOT / "docs" / "distributed.md", "python")
    names = {"CONFIG": "mine.yaml", "WORDS": [*SMALL, "OUTPUT_DIR", "output"]}
    with listeners_kept(), catalogs_kept():
        exec(example, names)
    assert "PQ" in names["results"]["panoptic_seg"]


def test_the_python_for_the_hub_gives_the_model_back(place, weights, monkeypatch):
    (example,) = [x for x in blocks(ROOT / "docs/ADVANCED_USAGE.md", "python") if "hub" in x]
    trained = str(weights / "trained" / "model_final.pth")
    assert run(["tools/convert_checkpoint.py", trained, "out.safetensors", "--predict-only"]) == 0
    pushed = []
    monkeypatch.setattr(Predictor, "push_to_hub", lambda self, name, **_: pushed.append(name))
    names = {}
    exec(example.replace('from_pretrained("me/cells")', 'from_pretrained("folder")'), names)
    assert pushed == ["me/cells"]
    assert names["predict"].categories.names == ("ground", "cell", "vessel")


def test_what_is_not_run_is_on_a_page():
    shown = {shlex.join(words) for page in PAGES for words in on_page(page)}
    assert shown >= NOT_RUN.keys()
    own = [" ".join(without_launcher(shlex.split(words))[1:]) for words in shown]
    for start in PACKAGES:
        assert any(words.startswith(start) for words in own), start
