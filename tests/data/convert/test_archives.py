import tarfile
import zipfile

import numpy as np
import pytest

from kmax_deeplab.data.convert.archives import (
    is_image,
    map_in_processes,
    read_arguments,
    unpack,
)
from kmax_deeplab.whole_files import whole_file, write_png


def zip_of(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_the_command_line_beats_the_environment_which_beats_the_scripts_folder(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    assert read_arguments("", ["val"], tmp_path, []).root == tmp_path
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "environment"))
    assert read_arguments("", ["val"], tmp_path, []).root == tmp_path / "environment"
    words = ["--root", str(tmp_path / "words"), "--splits", "val"]
    assert read_arguments("", ["train", "val"], tmp_path, words).root == tmp_path / "words"


def test_a_file_that_an_error_interrupts_does_not_appear(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "new/a.png") as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list((tmp_path / "new").iterdir()) == []


def test_a_damaged_image_is_told_from_a_whole_one(tmp_path):
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 9, (50, 50), np.uint8))
    assert is_image(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    assert not is_image(tmp_path / "b.png")
    assert not is_image(tmp_path / "missing.png")


def test_unpacking_again_leaves_what_is_there_and_mends_what_is_cut(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"x/1": b"one", "x/2": b"two", "y/3": b"three"})
    (tmp_path / "x").mkdir()
    (tmp_path / "x/1").write_bytes(b"ONE")
    (tmp_path / "x/2").write_bytes(b"t")
    unpack(archive, tmp_path, ["x/"])
    assert (tmp_path / "x/1").read_bytes() == b"ONE"
    assert (tmp_path / "x/2").read_bytes() == b"two"
    assert not (tmp_path / "y").exists()


def test_tar_archives_are_unpacked_like_zip_archives(tmp_path):
    (tmp_path / "1").write_bytes(b"one")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "1", "./x/1")
    unpack(tmp_path / "a.tar", tmp_path)
    assert (tmp_path / "x/1").read_bytes() == b"one"


def test_a_damaged_archive_and_a_member_that_points_outside_are_refused(tmp_path):
    (tmp_path / "cut.tar").write_bytes(b"PK not an archive")
    with pytest.raises(ValueError, match=r"(?s)cut\.tar: cannot be unpacked .* download it again"):
        unpack(tmp_path / "cut.tar", tmp_path)
    with pytest.raises(ValueError, match=r"'\.\./out' points out of the folder"):
        unpack(zip_of(tmp_path / "a.zip", {"../out": b""}), tmp_path / "in")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert map_in_processes(abs, [-3, 1, -2], workers, "numbers") == [3, 1, 2]
