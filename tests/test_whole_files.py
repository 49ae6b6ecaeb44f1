import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format.images import find_files
from kmax_deeplab.whole_files import is_partial, whole_file, write_json, write_png, write_text


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "sub" / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("{")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.rglob("*.*")) == [path]
    with pytest.raises(TypeError):
        write_json(path, {"a": {1}})
    assert json.loads(path.read_text()) == {"a": 1}


def test_texts_and_pictures_are_written(tmp_path):
    write_text(tmp_path / "a.txt", "Größe")
    assert (tmp_path / "a.txt").read_bytes().decode("utf-8") == "Größe"
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    write_png(tmp_path / "a.png", pixels)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()


def test_what_an_interrupted_writer_left_is_no_file_of_anyone(tmp_path):
    with whole_file(tmp_path / "a.png") as partial:
        partial.write_bytes(b"")
        assert is_partial(partial)
        write_png(tmp_path / ".new.partial" / "b.png", np.zeros((2, 2), np.uint8))
        assert list(find_files([tmp_path], {".png"})) == []
    assert list(find_files([tmp_path], {".png"})) == [tmp_path / "a.png"]
