"""Checkpoints: complete or refused, never torn."""

import pytest
import torch
from torch import nn

from kmax_deeplab.checkpoint import KMaXCheckpointer


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


def test_a_checkpoint_that_leaves_parameters_untouched_is_refused(tmp_path):
    state = {k: v for k, v in Net().state_dict().items() if k != "other.bias"}
    path = write(tmp_path / "x.pth", state)
    with pytest.raises(ValueError, match=r"3 of 4 entries were filled. 1 missing \(other.bias\)"):
        KMaXCheckpointer(Net()).load_complete(path)
    KMaXCheckpointer(Net()).load(path)  # fine-tuning may start from it


def test_a_checkpoint_of_another_model_is_refused_even_for_fine_tuning(tmp_path):
    path = write(tmp_path / "x.pth", nn.Conv2d(1, 1, 1).state_dict())
    with pytest.raises(ValueError, match="not one of this model"):
        KMaXCheckpointer(Net()).load(path)


def test_mismatched_shapes_are_named_with_both_shapes(tmp_path):
    path = write(tmp_path / "x.pth", Net(width=4).state_dict())
    with pytest.raises(ValueError, match=r"predictor.weight: \(4, 2\) in the file, \(3, 2\) here"):
        KMaXCheckpointer(Net()).load_complete(path)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"'nowhere.pth' does not exist"):
        KMaXCheckpointer(Net()).load("nowhere.pth")


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
