"""Checkpointer: any source in, complete or refused; files out, never torn."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from kmax_deeplab.checkpoint import KMaXCheckpointer
from kmax_deeplab.modeling.timm_features import TimmFeatures

FEATURES = ("res2", "res3", "res4", "res5")


class Net(nn.Module):
    def __init__(self, width: int = 3):
        super().__init__()
        self.predictor = nn.Linear(2, width)
        self.other = nn.Linear(2, 2)


def write(path, state: dict) -> str:
    torch.save({"model": state}, path)
    return str(path)


def test_released_names_fill_the_model(tmp_path):
    net, source = Net(), Net()
    state = {"_" + k.replace("predictor", "predcitor"): v for k, v in source.state_dict().items()}
    KMaXCheckpointer(net).load_complete(write(tmp_path / "x.pth", state))
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("load", [KMaXCheckpointer.load, KMaXCheckpointer.load_complete])
def test_a_checkpoint_that_leaves_parameters_untouched_is_refused(tmp_path, load):
    state = {k: v for k, v in Net().state_dict().items() if k != "other.bias"}
    path = write(tmp_path / "x.pth", state)
    checkpointer = KMaXCheckpointer(Net())
    with pytest.raises(ValueError, match=r"1 entries are missing[^$]*missing +other.bias"):
        load(checkpointer, path)
    load(checkpointer, write(tmp_path / "x.pth", Net().state_dict()))  # a refusal leaves no trace


def test_a_checkpoint_of_another_model_is_refused_even_for_fine_tuning(tmp_path):
    path = write(tmp_path / "x.pth", nn.Conv2d(1, 1, 1).state_dict())
    with pytest.raises(ValueError, match="does not fit this model"):
        KMaXCheckpointer(Net(), reinitialize=["classes"]).load(path)


def test_mismatched_shapes_are_named_with_both_shapes(tmp_path):
    path = write(tmp_path / "x.pth", Net(width=4).state_dict())
    with pytest.raises(ValueError, match=r"predictor.weight +\(4, 2\) +\(3, 2\)"):
        KMaXCheckpointer(Net()).load_complete(path)


def test_a_missing_file_is_named_and_where_to_get_one():
    with pytest.raises(FileNotFoundError, match=r"'nowhere.pth' does not exist.*timm://"):
        KMaXCheckpointer(Net()).load("nowhere.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_weights_from_a_local_file_fill_the_whole_backbone(
    tmp_path, monkeypatch, logged, suffix
):
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    original = timm.create_model("test_convnext2").state_dict()
    (save_file if suffix == ".safetensors" else torch.save)(
        original, str(tmp_path / f"test_convnext2{suffix}")
    )
    net = Net()
    net.backbone = TimmFeatures("test_convnext2", FEATURES)
    KMaXCheckpointer(net).load("timm://test_convnext2")
    entries = net.backbone.body.state_dict()
    assert all(torch.equal(value, original[name]) for name, value in entries.items())
    count = sum(value.numel() for value in entries.values())
    assert f"loaded {len(entries)} of {len(entries)} entries, {count:,} of {count:,}" in logged[-1]
    assert "head.norm.weight" in logged[-1].partition("not needed: ")[2]


def test_weights_of_another_timm_model_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "test_resnet.pth")
    net = Net()
    net.backbone = TimmFeatures("test_convnext2", FEATURES)
    with pytest.raises(ValueError, match=r"timm://test_resnet \(a timm model\) does not fit"):
        KMaXCheckpointer(net).load("timm://test_resnet")


def test_a_run_killed_while_writing_keeps_its_previous_checkpoint(tmp_path, monkeypatch):
    checkpointer = KMaXCheckpointer(Net(), str(tmp_path))
    checkpointer.save("model_0")

    def torn(_, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save("model_1")
    again = KMaXCheckpointer(Net(), str(tmp_path))
    assert again.get_checkpoint_file() == str(tmp_path / "model_0.pth")
    again.resume_or_load("")
