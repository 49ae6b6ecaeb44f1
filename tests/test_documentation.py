"""Every example that the project shows: its words are what the programs take.

tests/test_documented_commands.py runs those of the pages.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train_net
from kmax_deeplab.d2.config.run import load_config
from tests.documentation import PAGES, blocks, commands, on_page, without_launcher
from tests.scripts import ROOT, load_script

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


def programs(calls):
    """Returns scripts of ours with their arguments, as one process has them."""
    calls = [without_launcher(call) for call in calls]
    return [
        [STAND_INS.get(word, word) for word in call[1:]] for call in calls if call[0] == "python"
    ]


def shown_by(path):
    """Returns the examples of a page, or those in a script's or a config's first comment."""
    if path.suffix == ".md":
        return programs(on_page(path))
    start = "# " if path.suffix == ".yaml" else "    "
    text = re.sub(r" \\\n +", " ", path.read_text()).replace(" (or earlier.json)", "")
    lines = re.findall(rf"^{start}(python \S+\.py.*)$", text, re.MULTILINE)
    return programs(commands("\n".join(OPTIONAL.sub("", line) for line in lines)))


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
