"""The package as it is installed: complete, licensed, and clear about what it lacks."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import kmax_deeplab

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel, from a copy of what belongs into it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "kmax_deeplab", folder / "kmax_deeplab")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, folder], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_package_and_the_license(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        facts = next(archive.read(n).decode() for n in names if n.endswith("METADATA"))
    package = ROOT / "kmax_deeplab"
    files = [p for p in package.rglob("*") if p.is_file() and p.suffix in (".py", ".css", ".tsv")]
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in facts
    assert f"Version: {kmax_deeplab.__version__}" in facts
    assert not re.search(r"Requires-Dist: numpy.*<", facts)


def run_without(modules, code, wheel, tmp_path):
    """Runs code against the wheel as if some modules were not installed."""
    hidden = "\n".join(
        [
            "import importlib.util, sys",
            "find = importlib.util.find_spec",
            f"hidden = {set(modules)!r}",
            "look = lambda name, *a: None if name in hidden else find(name, *a)",
            "importlib.util.find_spec = look",
            f"sys.path.insert(0, {str(wheel)!r})",
            code,
        ]
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", hidden], capture_output=True, text=True, cwd=tmp_path
    )


@pytest.mark.parametrize("missing", ["detectron2", "panopticapi"])
def test_what_is_missing_is_said_with_the_command_that_brings_it(missing, wheel, tmp_path):
    code = "import kmax_deeplab\nkmax_deeplab.Trainer"
    said = run_without([missing], code, wheel, tmp_path).stderr.splitlines()[-1]
    assert f"{missing} is not installed" in said
    assert ("install_detectron2.py" if missing == "detectron2" else "pip install") in said


def test_the_core_needs_neither(wheel, tmp_path):
    code = "import kmax_deeplab, kmax_deeplab.postprocessing; print(kmax_deeplab.__version__)"
    done = run_without(["detectron2", "panopticapi"], code, wheel, tmp_path)
    assert done.stdout.strip() == kmax_deeplab.__version__, done.stderr


def test_detectron2s_model_zoo_can_be_imported():
    from detectron2 import model_zoo

    assert model_zoo.get_config_file("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml")


def test_the_installed_version_is_the_packages():
    assert metadata.version("kmax-deeplab")
