"""Config files are plain YAML: nothing in them runs, and every fault names its file."""

import pytest

from kmax_deeplab.d2.config.files import read_config_file


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def written(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_values_lie_over_those_of_the_bases(write):
    write("a.yaml", "SOLVER: {MAX_ITER: 1, BASE_LR: 0.5}\nSEED: 3")
    write("b.yaml", "_BASE_: a.yaml\nSOLVER: {MAX_ITER: 2}")
    path = write("c.yaml", "_BASE_: [b.yaml]\nSOLVER: {WARMUP_ITERS: 7}")
    expected = {"SOLVER": {"MAX_ITER": 2, "BASE_LR": 0.5, "WARMUP_ITERS": 7}, "SEED": 3}
    assert read_config_file(path) == expected


CODE = "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{}]]"


@pytest.mark.parametrize("in_base", [False, True])
def test_a_tag_that_would_run_code_is_refused_and_not_run(write, tmp_path, in_base):
    path = faulty = write("a.yaml", f"SEED: {CODE.format(tmp_path / 'touched')}")
    if in_base:
        path = write("b.yaml", "_BASE_: a.yaml")
    with pytest.raises(ValueError, match=rf"{faulty}: no plain YAML"):
        read_config_file(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("_BASE_: https://example.org/a.yaml", "must be a file on this machine"),
        ("_BASE_: {a: 1}", "must be a file on this machine"),
        ("_BASE_: own.yaml", "is a base of itself"),
        ("SEED: 1\nSEED: 2", "'SEED' stands here twice"),
        ("SOLVER:\n\tSEED: 1", "no plain YAML"),
        ("- SEED", "holds a list, not KEY: VALUE"),
        ("SEED: [1", "no plain YAML"),
    ],
)
def test_a_file_that_cannot_be_is_named(write, text, complaint):
    path = write("own.yaml", text)
    with pytest.raises(ValueError, match=rf"{path}.*{complaint}|{path}[^$]*{complaint}"):
        read_config_file(path)


def test_a_missing_base_is_named_with_who_asks_for_it(write, tmp_path):
    path = write("a.yaml", "_BASE_: none.yaml")
    with pytest.raises(FileNotFoundError, match=rf"none.yaml.*_BASE_ of {path}"):
        read_config_file(path)


def test_a_byte_order_mark_and_an_empty_file_are_harmless(tmp_path):
    (tmp_path / "a.yaml").write_text("SEED: 4", encoding="utf-8-sig")
    (tmp_path / "b.yaml").write_text("")
    assert read_config_file(tmp_path / "a.yaml") == {"SEED": 4}
    assert read_config_file(tmp_path / "b.yaml") == {}
