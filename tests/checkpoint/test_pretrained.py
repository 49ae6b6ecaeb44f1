"""A folder of the hub's kind says what it lacks."""

import pytest
import torch

from kmax_deeplab.checkpoint.identity import Identity
from kmax_deeplab.checkpoint.pretrained import read_pretrained, write_pretrained

STATE = {"sem_seg_head.a": torch.ones(2)}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(name, tmp_path):
    write_pretrained(tmp_path, STATE, Identity())
    assert read_pretrained(tmp_path)["model"].keys() == STATE.keys()
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {name}: it is no folder that save_"):
        read_pretrained(tmp_path)


def test_a_config_that_is_none_is_refused(tmp_path):
    write_pretrained(tmp_path, STATE, Identity())
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config\.json holds a list, not a mapping"):
        read_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json"):
        read_pretrained(tmp_path)
