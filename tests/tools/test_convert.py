"""The command lines that convert weights."""

import importlib.util
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from kmax_deeplab.checkpoint.files import read_checkpoint
from kmax_deeplab.checkpoint.released import from_released
from tests.golden import released

TOOLS = Path(__file__).parents[2] / "tools"
R50 = "coco/panoptic_segmentation/kmax_r50.yaml"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.convert(module.parse_args([str(a) for a in arguments]))


convert = tool("convert_checkpoint")
convert_backbone = tool("convert_pretrained_backbone")


@pytest.fixture(scope="module")
def released_file(tmp_path_factory):
    """A file with every released name of a model, and tiny values."""
    names = released.read("manifest.json.gz")[R50]
    state = {name: torch.randn(2, 3) for name in names}
    path = tmp_path_factory.mktemp("released") / "kmax_r50.pth"
    torch.save({"model": state, "optimizer": {"step": 3}, "iteration": 150_000}, path)
    return path, state


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
def test_released_to_ours_and_back_is_the_identity(tmp_path, released_file, suffix):
    path, state = released_file
    ours, back = tmp_path / f"ours{suffix}", tmp_path / "back.pth"
    assert "left out: optimizer, iteration" in convert(path, ours)
    assert read_checkpoint(ours)["model"].keys() == {from_released(name) for name in state}
    convert(ours, back, "--names", "released")
    content = torch.load(back)
    assert content.keys() == {"model"}
    assert content["model"].keys() == state.keys()
    assert all(torch.equal(content["model"][name], value) for name, value in state.items())


def test_weights_are_cast_but_counters_and_statistics_are_not(tmp_path):
    values = {
        "weight": torch.randn(3),
        "count": torch.tensor(7),
        "running_var": torch.tensor([1e6]),
    }
    state = {f"sem_seg_head.a.{name}": value for name, value in values.items()}
    torch.save(state, tmp_path / "x.pth")
    convert(tmp_path / "x.pth", tmp_path / "y.safetensors", "--dtype", "float16")
    cast = read_checkpoint(tmp_path / "y.safetensors")["model"]
    assert {name.rpartition(".")[2]: value.dtype for name, value in cast.items()} == {
        "weight": torch.float16,
        "count": torch.int64,
        "running_var": torch.float32,
    }


def test_values_that_a_dtype_cannot_hold_are_refused(tmp_path):
    torch.save({"sem_seg_head.a.weight": torch.tensor([1e6])}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"a\.weight has values too large for torch.float16"):
        convert(tmp_path / "x.pth", tmp_path / "y.pth", "--dtype", "float16")


@pytest.mark.parametrize("said", ["data", "=cells", "data= "])
def test_a_note_needs_title_and_text(said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        convert(tmp_path / "x.pth", tmp_path / "y.pth", "--note", said)
    assert f"{said!r} must be TITLE=TEXT" in capsys.readouterr().err


def test_a_backbone_is_not_taken_for_a_whole_model(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"no whole model \(torchvision or timm ResNet\)"):
        convert(tmp_path / "x.pth", tmp_path / "y.pth")


def test_a_torchvision_resnet_becomes_a_backbone_of_ours(tmp_path):
    original = torchvision.models.resnet18().state_dict()
    torch.save(original, tmp_path / "resnet18.pth")
    said = convert_backbone(tmp_path / "resnet18.pth", tmp_path / "r18.pkl")
    assert "120 entries of a torchvision or timm ResNet; left out: fc.weight, fc.bias" in said
    state = read_checkpoint(tmp_path / "r18.pkl")["model"]
    assert torch.equal(state["backbone.res5.1.conv2.weight"], original["layer4.1.conv2.weight"])


def test_timm_names_are_converted_from_the_local_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    torch.save(timm.create_model("test_convnext").state_dict(), tmp_path / "test_convnext.pth")
    convert_backbone("timm://test_convnext", tmp_path / "x.safetensors")
    names = read_checkpoint(tmp_path / "x.safetensors")["model"]
    assert "backbone.downsample_layers.0.0.weight" in names


def test_other_files_are_no_backbones(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"none of torchvision or timm ResNet, .*like \['x'\]"):
        convert_backbone(tmp_path / "x.pth", tmp_path / "y.pth")
