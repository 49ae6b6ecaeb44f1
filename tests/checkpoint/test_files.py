"""Checkpoint files of every format are read, damaged and unsafe ones are refused."""

import os
import pickle
import re
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kmax_deeplab.checkpoint.files import read_checkpoint, write_checkpoint
from kmax_deeplab.checkpoint.pickles import CORE, UnsafePickleError

STATE = {"a.weight": torch.arange(600.0).view(20, 30), "a.count": torch.tensor(7)}
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


def pickled(content):
    return lambda path: path.write_bytes(pickle.dumps(content))


def saved(content, **options):
    return lambda path: torch.save(content, path, **options)


HEURISTIC = {"model": ARRAYS, "__author__": "somebody", "matching_heuristics": True}
WRITERS = {
    "torch.pth": saved({"model": STATE, "iteration": 3}),
    "bare.pth": saved(STATE),
    "legacy.pth": saved({"model": STATE}, _use_new_zipfile_serialization=False),
    "timm_training.pth": saved({"state_dict": STATE, "arch": "resnet50"}),
    "zoo.pkl": pickled({"model": ARRAYS, "__author__": "somebody"}),
    "heuristic.pkl": pickled(HEURISTIC),
    "bare.pkl": pickled(ARRAYS),
    "x.safetensors": lambda path: save_file(STATE, path),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("suffix", ["", ".misnamed"])
def test_every_format_is_recognised_by_its_content(tmp_path, name, suffix):
    WRITERS[name](tmp_path / (name + suffix))
    state = read_checkpoint(tmp_path / (name + suffix))["model"]
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], value) for key, value in STATE.items())


def test_what_lies_beside_the_state_dict_is_kept(tmp_path):
    WRITERS["torch.pth"](tmp_path / "x")
    assert read_checkpoint(tmp_path / "x")["iteration"] == 3


def renamed(path, core):
    """Makes a torch file refer to numpy's core as another numpy calls it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            if name.endswith("data.pkl"):
                content = re.sub(rb"numpy\._?core\.", core + b".", content)
                assert core in content
            archive.writestr(name, content)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_numbers_and_arrays_of_any_numpy_are_data(tmp_path, core):
    path, ours = tmp_path / "x.pth", CORE.encode()
    extras = {"best": np.float64(2.5), "step": np.int64(7), "losses": np.arange(3.0)}
    torch.save({"model": STATE, **extras}, path)
    renamed(path, core)
    read = read_checkpoint(path)
    assert (read["best"], read["step"], read["losses"].tolist()) == (2.5, 7, [0, 1, 2])
    content = pickle.dumps({"model": ARRAYS, **extras}, protocol=2).replace(ours, core)
    (tmp_path / "x.pkl").write_bytes(content)
    assert read_checkpoint(tmp_path / "x.pkl")["step"] == 7


@pytest.mark.parametrize("name", ["torch.pth", "legacy.pth", "zoo.pkl", "x.safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 1500, -1])
def test_a_truncated_file_is_named(tmp_path, name, kept):
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{name} (is|holds) .*(truncated|torn)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "write",
    [
        pickled({"model": {**ARRAYS, "x": Malicious()}}),
        saved({"model": STATE, "x": Malicious()}),
        saved({"model": STATE, "x": Malicious()}, _use_new_zipfile_serialization=False),
    ],
    ids=["pickle", "torch", "legacy torch"],
)
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.pth")
    with pytest.raises(UnsafePickleError, match=r"x.pth refers to \w+.system: .* would run code"):
        read_checkpoint(tmp_path / "x.pth")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("hello, I am a text file"), "is neither a torch"),
        (lambda path: np.savez(path.open("wb"), a=np.ones(3)), "convert-tf-weights-to-d2.py"),
        (pickled([1, 2]), "holds a list"),
        (pickled({"model": {"a": "text"}}), "'a' are no arrays"),
        (pickled({"model": {}}), "it is empty"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, write, message):
    write(tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    write_checkpoint(path, {**STATE, "b": STATE["a.weight"].T})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    state = read_checkpoint(path)["model"]
    assert torch.equal(state["b"], STATE["a.weight"].T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # about arrays that cannot be written to
        state["b"].zero_()


def test_an_unknown_suffix_is_refused_with_the_accepted_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\.pth, \.safetensors, \.pkl"):
        write_checkpoint(tmp_path / "x.onnx", STATE)


def test_pickles_of_bfloat16_are_refused(tmp_path):
    with pytest.raises(ValueError, match="numpy has no bfloat16"):
        write_checkpoint(tmp_path / "x.pkl", {"a": torch.ones(2, dtype=torch.bfloat16)})
