"""`timm://NAME` without a network: local files, and what to do if there is none."""

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from kmax_deeplab.checkpoint import timm_hub

NAME = "convnext_tiny.fb_in22k_ft_in1k_384"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def unreachable(repository, file):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(timm_hub, "hf_hub_download", unreachable)
    monkeypatch.delenv("KMAX_WEIGHTS", raising=False)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_in_the_folder_is_found(tmp_path, monkeypatch, suffix):
    path = tmp_path / (NAME + suffix)
    path.touch()
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    assert timm_hub.find_timm_weights(NAME) == path


def test_else_the_hub_is_asked_for_what_timm_names(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        timm_hub, "hf_hub_download", lambda *where: asked.append(where) or str(tmp_path / "cached")
    )
    assert timm_hub.find_timm_weights(NAME) == tmp_path / "cached"
    assert asked == [(f"timm/{NAME}", "model.safetensors")]


def test_without_file_and_network_the_message_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    where = rf"https://huggingface.co/timm/{NAME}/resolve/main/model.safetensors .*{tmp_path}"
    with pytest.raises(FileNotFoundError, match=where):
        timm_hub.find_timm_weights(NAME)


def test_what_is_here_already_is_found_without_asking_a_network(tmp_path, monkeypatch):
    cached = {"model.safetensors": None, "pytorch_model.bin": str(tmp_path / "cached")}
    monkeypatch.setattr(timm_hub, "try_to_load_from_cache", lambda repository, file: cached[file])
    assert timm_hub.find_local_weights(NAME) == tmp_path / "cached"
    cached["pytorch_model.bin"] = None
    assert timm_hub.find_local_weights(NAME) is None
    path = tmp_path / f"{NAME}.pth"
    path.touch()
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    assert timm_hub.find_local_weights(NAME) == path


@pytest.mark.parametrize("name", ["convnext_tinny", "convnext_tiny.unknown_tag"])
def test_an_unknown_name_is_refused_with_near_ones(name):
    with pytest.raises(ValueError, match="'convnext_tiny'"):
        timm_hub.find_timm_weights(name)
