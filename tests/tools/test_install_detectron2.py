import hashlib
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "install_detectron2.py"))


def test_an_installed_detectron2_is_left_alone(capsys):
    TOOL["main"]()
    assert "stays as it is" in capsys.readouterr().out


def test_a_wheel_with_the_expected_hash_passes(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"wheel")
    TOOL["verify_hash"](wheel, hashlib.sha256(b"wheel").hexdigest())


def test_a_wheel_with_another_hash_is_refused_by_name(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"tampered")
    with pytest.raises(ValueError, match=r"some\.whl has SHA-256 [0-9a-f]{64}, expected 491af0c7"):
        TOOL["verify_hash"](wheel)
