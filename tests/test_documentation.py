"""Every example that the project shows: its words are what the programs take, and it runs."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train_net
from kmax_deeplab.d2.config.run import load_config
from tests.own_data import OwnData
from tests.scripts import ROOT, exit_status, load_script
from tests.tiny_run import TINY

PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [ROOT / "train_net.py", ROOT / "convert-tf-weights-to-d2.py"]
SCRIPTS += [*(ROOT / "tools").glob("*.py"), *(ROOT / "datasets").glob("*.py")]
LEAVES = [path for path in (ROOT / "configs").rglob("*.yaml") if "_base_" not in path.parts]
STAND_INS = {
    "…": "configs/coco/panoptic_segmentation/kmax_r50.yaml",
    "CONFIG.yaml": "configs/custom/kmax_trial_on_cpu.yaml",
    "[{'name': …}]": "[]",
    "[…]": "[]",
    "other.yaml": "configs/shapes/kmax_convnext_demo.yaml",
}
"""What the examples leave to the reader."""
OPTIONAL = re.compile(r"\[(--|KEY)[^\]]*\]")
RECORD = """
record() { printf '%s\\0' "$@"; printf '\\n\\0'; }
python() { record "$@"; }
make() { :; }
pip() { :; }
torchrun() { while [[ $1 == --* ]]; do shift; done; python "$@"; }
srun() { while [[ $1 == --* ]]; do shift; done; "$@"; }
"""
"""Instead of running, the programs tell the words that they are given."""
TRIAL = {
    **TINY,
    **{"SOLVER.MAX_ITER": 2, "DATALOADER.NUM_WORKERS": 0, "MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM": 0},
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(script):
    """Returns the words of every call of `python` in a piece of bash, expanded by bash itself."""
    done = subprocess.run(["bash", "-euc", RECORD + script], capture_output=True, check=True)
    calls, call = [], []
    for word in done.stdout.decode().split("\0")[:-1]:
        if word == "\n":
            calls.append(call)
            call = []
        else:
            call.append(STAND_INS.get(word, word))
    return calls


def shown_by(path):
    """Returns the examples of a page, or those in a script's or a config's first comment."""
    if path.suffix == ".md":
        return commands("\n".join(blocks(path, "bash")))
    start = "# " if path.suffix == ".yaml" else "    "
    text = re.sub(r" \\\n +", " ", path.read_text()).replace(" (or earlier.json)", "")
    lines = re.findall(rf"^{start}(python \S+\.py.*)$", text, re.MULTILINE)
    return commands("\n".join(OPTIONAL.sub("", line) for line in lines))


def take(words):
    """Has a program read its command line; configs are merged with what follows them."""
    script, *arguments = words
    if script == "train_net.py":
        args = train_net.parse_args(arguments)
    elif arguments:
        args = load_script(script).parse_args(arguments)
    else:
        assert (ROOT / script).is_file()
        return
    config = getattr(args, "config_file", None)
    if config and (ROOT / config).is_file():
        load_config(str(ROOT / config), getattr(args, "opts", ()))


@pytest.mark.parametrize(
    "path", [*PAGES, *SCRIPTS, *LEAVES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_words_of_every_example_are_taken(path):
    examples = shown_by(path)
    for words in examples:
        try:
            take(words)
        except SystemExit as error:
            raise AssertionError(f"{path}: {shlex.join(words)}") from error
    bare = [ROOT / "configs/shapes/kmax_convnext_demo.yaml", ROOT / "docs/architecture.md"]
    bare.append(ROOT / "README.md")  # which leaves it to make
    if path.suffix in (".md", ".yaml") and path not in bare:
        assert examples


def test_every_file_that_the_pages_name_is_there():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
    for path in re.findall(
        r"`((?:kmax_deeplab|configs|tools|datasets)/[\w./]+)`",
        "".join(page.read_text() for page in PAGES),
    ):
        assert (ROOT / path).exists(), path


def write_labels(split, count):
    """Draws images with tissue, a round and a long cell, as PNGs of classes and of instances."""
    for number in range(count):
        semantic = np.full((48, 64), 4)
        semantic[5:20, 5 + number : 20 + number], semantic[30:36, 10:50] = 20, 21
        semantic = semantic[:, ::-1] if split == "val" else semantic  # no image is in both
        instances = np.where(semantic == 4, 0, semantic)
        grey = np.where(semantic == 4, 200, 6 * semantic)
        for kind, values in (("images", grey), ("semantic", semantic), ("instances", instances)):
            suffix = "jpg" if kind == "images" else "png"
            path = Path("mine", split, kind, "plate0", f"well_{number:03d}.{suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.mark.slow
def test_own_data_goes_from_labels_to_a_report_as_the_page_says(tmp_path, monkeypatch, one_thread):
    page = ROOT / "docs" / "own_data.md"
    monkeypatch.chdir(tmp_path)
    Path("configs").symlink_to(ROOT / "configs")
    for split, count in (("train", 4), ("val", 2)):
        write_labels(split, count)
    (table,) = re.findall(r"^```\n(id\tname.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    Path("mine/classes.tsv").write_text(table)
    walked = []
    for script, *arguments in shown_by(page):
        if "detection" in arguments or "kmax_r50.pth" in arguments:
            continue  # of other labels, and of weights to be downloaded
        if script == "train_net.py" and "--eval-only" not in arguments:
            arguments += [str(word) for pair in TRIAL.items() for word in pair]
        if script == "datasets/check.py":
            arguments += ["--workers", "1"]
        main = load_script(script).main
        if script == "train_net.py":
            main(train_net.parse_args(arguments))
        else:
            assert exit_status(main, *arguments) == 0, shlex.join([script, *arguments])
        walked.append(script)
    assert walked == [
        *("datasets/convert.py",) * 2,
        "datasets/check.py",
        *("train_net.py",) * 2,
        *("tools/predict.py", "tools/report.py"),
    ]
    assert "<h1>Cells</h1>" in Path("output/mine/report.html").read_text()
    assert Path("output/mine/predictions/overlays/plate0/well_001.png").is_file()


@pytest.mark.slow
def test_the_python_examples_run_on_own_data(tmp_path, monkeypatch, capsys, one_thread):
    data = OwnData(tmp_path / "mine")
    places = {"DATASETS.PANOPTIC": [data.entry("documented")], "OUTPUT_DIR": "output"}
    keys = ("CLASS_THRESHOLD_THING", "CLASS_THRESHOLD_STUFF", "PIXEL_CONFIDENCE_THRESHOLD")
    finds_anything = {f"MODEL.KMAX_DEEPLAB.TEST.{key}": 0.0 for key in keys}
    changes = {**TRIAL, **places, **finds_anything}
    words = [str(word) for pair in changes.items() for word in pair]
    config = str(ROOT / "configs" / "custom" / "kmax_trial_on_cpu.yaml")
    monkeypatch.chdir(tmp_path)
    train_net.main(train_net.parse_args(["--config-file", config, *words]))
    data.write_image(tmp_path / "photo.jpg", np.full((30, 40), 90))
    cells, _ = load_script("datasets/cells_scene.py").draw_cells((100, 120), 9, seed=2)
    Image.fromarray(cells).save("cells.png")
    Path("configs").symlink_to(ROOT / "configs")
    pages = {"README.md": "cells", "docs/GETTING_STARTED.md": "photo"}
    for page, name in pages.items():
        names = {}
        (example,) = blocks(ROOT / page, "python")
        capsys.readouterr()
        exec(example, names)
        seen = names["seen"]
        assert seen.panoptic.shape == seen.image.shape[:2]
        shown = [line for line in capsys.readouterr().out.splitlines() if " pixels" in line]
        assert len(shown) == len(seen.segments) > 0
        assert set(np.unique(seen.panoptic)) - {0} == {s.id for s in seen.segments}
        assert Path(f"output/{name}/{name}.json").is_file()


def test_the_example_for_deep_images_writes_what_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine/raw/a").mkdir(parents=True)
    values = np.array([[0, 4095], [2048, 5000]], dtype=np.uint16)
    Image.fromarray(values).save("mine/raw/a/deep.tif")
    (example,) = blocks(ROOT / "docs" / "own_data.md", "python")
    exec(example, {})
    written = Image.open("mine/images/a/deep.png")
    assert written.mode == "L"
    assert np.asarray(written).tolist() == [[0, 255], [128, 255]]
