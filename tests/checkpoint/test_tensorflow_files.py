"""Files of TensorFlow variables: read whole or refused with a reason."""

import sys
import types

import numpy as np
import pytest

from kmax_deeplab.checkpoint.tensorflow.files import checkpoint_prefix, read_variables
from kmax_deeplab.checkpoint.tensorflow.identify import SUFFIX

VARIABLES = {
    "semantic_last_layer/bias" + SUFFIX: np.arange(3, dtype=np.float32),
    "encoder/_stem/_conv/kernel" + SUFFIX: np.ones((7, 7, 3, 64), np.float32),
}
BOOKKEEPING = {"global_step" + SUFFIX: np.int64(5), "save_counter" + SUFFIX: np.int64(1)}


def assert_same(have: dict[str, np.ndarray]) -> None:
    assert have.keys() == VARIABLES.keys()
    assert all(np.array_equal(have[name], VARIABLES[name]) for name in have)


def test_an_npz_gives_its_network_variables(tmp_path):
    np.savez(tmp_path / "any.npz", **VARIABLES, **BOOKKEEPING)
    assert_same(read_variables(str(tmp_path / "any.npz")))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.95])
def test_a_truncated_npz_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "cut.npz"
    np.savez(path, **VARIABLES)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"cut\.npz' is not an intact \.npz"):
        read_variables(str(path))


def test_an_npz_with_a_flipped_byte_is_refused(tmp_path):
    path = tmp_path / "flipped.npz"
    np.savez(path, **VARIABLES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not an intact"):
        read_variables(str(path))


def test_an_npz_that_would_execute_code_is_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", **{"x/gamma": np.array([print], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        read_variables(str(tmp_path / "objects.npz"))


@pytest.mark.parametrize("name", ["ckpt-7", "ckpt-7.index", "ckpt-7.data-00000-of-00001", ""])
def test_a_checkpoint_may_be_named_by_any_of_its_files_or_its_folder(tmp_path, name):
    (tmp_path / "ckpt-7.index").touch()
    assert checkpoint_prefix(str(tmp_path / name)) == str(tmp_path / "ckpt-7")


@pytest.mark.parametrize("name", ["nothing", "nothing.npz", ""])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_variables(str(tmp_path / name))


def test_a_folder_with_several_checkpoints_is_refused(tmp_path):
    for step in (1, 2):
        (tmp_path / f"ckpt-{step}.index").touch()
    with pytest.raises(ValueError, match=r"several checkpoints.*ckpt-1.*ckpt-2"):
        read_variables(str(tmp_path))


def test_without_tensorflow_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "ckpt.index").touch()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install -r requirements-tf\.txt"):
        read_variables(str(tmp_path / "ckpt"))


class FakeReader:
    """TensorFlow's checkpoint reader, as far as it is used."""

    content = VARIABLES | BOOKKEEPING

    def get_variable_to_shape_map(self):
        return {name: list(np.shape(array)) for name, array in self.content.items()}

    def get_tensor(self, name):
        return self.content[name]


def fake_tensorflow(load_checkpoint) -> types.SimpleNamespace:
    errors = types.SimpleNamespace(OpError=LookupError)
    return types.SimpleNamespace(
        train=types.SimpleNamespace(load_checkpoint=load_checkpoint), errors=errors
    )


def test_a_checkpoint_gives_its_network_variables(tmp_path, monkeypatch):
    (tmp_path / "ckpt.index").touch()
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow(lambda _: FakeReader()))
    assert_same(read_variables(str(tmp_path / "ckpt")))


def test_a_checkpoint_that_tensorflow_cannot_read_is_refused_by_name(tmp_path, monkeypatch):
    def fail(prefix):
        raise LookupError("data loss")

    (tmp_path / "ckpt.index").touch()
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow(fail))
    with pytest.raises(ValueError, match=r"cannot read all of .*ckpt': data loss"):
        read_variables(str(tmp_path / "ckpt"))


def write_with_tensorflow(tf, prefix: str) -> None:
    content = VARIABLES | BOOKKEEPING
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(content),
        shape_and_slices=[""] * len(content),
        tensors=[tf.constant(array) for array in content.values()],
    )


def damage(path: str, kind: str) -> None:
    with open(path, "r+b") as f:
        size = f.seek(0, 2)
        if kind == "truncated":
            f.truncate(size // 2)
        else:
            f.seek(size // 2)
            f.write(b"damage")


@pytest.mark.parametrize("file", [".data-00000-of-00001", ".index"])
@pytest.mark.parametrize("kind", ["truncated", "overwritten"])
def test_tensorflow_reads_the_same_and_notices_damage(tmp_path, file, kind):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is an optional extra")
    prefix = str(tmp_path / "ckpt-1")
    write_with_tensorflow(tf, prefix)
    assert_same(read_variables(prefix))
    damage(prefix + file, kind)
    with pytest.raises(ValueError, match="cannot read all of"):
        read_variables(prefix)
