import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.labels import LabelledImage, Source
from kmax_deeplab.data.convert.parts import assign_parts
from kmax_deeplab.data.format.categories import Categories

CATEGORIES = Categories.from_json([{"id": 1, "name": "cat", "isthing": 1}])


@pytest.fixture
def source(tmp_path):
    """Ten images of which two, 3 and 7, are copies of one file."""
    images = []
    for number in range(10):
        path = tmp_path / "images" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.full((2, 2), 3 if number == 7 else number, np.uint8)
        Image.fromarray(grey).save(path)
        name = path.relative_to(tmp_path / "images").as_posix()
        images.append(LabelledImage(number, name, None, part="train" if number else "val"))
    return Source(tmp_path / "images", CATEGORIES, images, print)


def test_shares_make_parts_of_their_size_by_the_seed(source):
    parts = assign_parts(source, "0.6,0.2,0.2")
    counts = [list(parts.values()).count(name) for name in ("train", "val", "test")]
    assert sum(counts) == 10 and set(parts) == {image.file_name for image in source.images}
    assert 6 <= counts[0] <= 7 and min(counts) >= 1
    assert assign_parts(source, "0.6,0.2,0.2") == parts
    assert assign_parts(source, "0.6,0.2,0.2", seed=1) != parts


def test_copies_of_an_image_stay_together(source):
    for seed in range(20):
        parts = assign_parts(source, "0.5,0.5", seed)
        assert parts["1/3.png"] == parts["1/7.png"]


def test_without_a_word_images_are_in_the_parts_of_the_format(source):
    parts = assign_parts(source)
    assert parts["0/0.png"] == "val" and parts["1/9.png"] == "train"


def test_lists_name_images_with_or_without_folder_and_suffix(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("0/0.png\n2\n\n1/3\n")
    (tmp_path / "b.txt").write_text("4.png\n")
    assert assign_parts(source, "train=a.txt,val=b.txt") == {
        "0/0.png": "train",
        "0/2.png": "train",
        "1/3.png": "train",
        "0/4.png": "val",
    }


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ("1", "1", r"b\.txt: '1' is in train as well"),
        ("1", "cat", r"b\.txt: 'cat' names no image"),
        ("3", "7", r"1/3\.png \(train\) is the same image as .*1/7\.png \(val\)"),
        ("1", "", r"b\.txt names no image"),
    ],
)
def test_lists_that_cannot_be_are_refused(source, tmp_path, monkeypatch, first, second, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(first)
    (tmp_path / "b.txt").write_text(second)
    with pytest.raises(ValueError, match=complaint):
        assign_parts(source, "train=a.txt,val=b.txt")


@pytest.mark.parametrize("split", ["0.8", "0.8,0.3", "a,b", "1,0", "nan,0.5", "0.2,0.2,0.2,0.4"])
def test_shares_that_do_not_add_up_are_refused(source, split):
    with pytest.raises(ValueError, match="write two or three shares that add up to 1"):
        assign_parts(source, split)


def test_a_part_without_an_image_is_refused(source):
    with pytest.raises(ValueError, match="of 10 different images none is left for val"):
        assign_parts(source, "0.99,0.01")


def test_a_missing_list_or_image_is_named(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train=none\.txt"):
        assign_parts(source, "train=none.txt")
    with pytest.raises(ValueError, match=r"0/2\.png: not a text file"):
        assign_parts(source, f"train={source.folder / '0/2.png'}")
    (source.folder / "0/2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0/2\.png: this image does not exist"):
        assign_parts(source, "0.5,0.5")
