import pytest
from PIL import Image

from kmax_deeplab.data.convert.from_yolo import EMPTY, THIN, UNLABELLED, find_yolo, read_line
from tests.data.convert.round_trip import differences, draw_blobs, write_truth
from tests.data.convert.writers_a import write_yolo
from tests.scripts import exit_status, load_script

SIZE = (10, 20)
"""(height, width) of the images."""
SQUARE = "0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6"
"""Rows 2 to 5, columns 2 to 5."""
YAML = """# COCO8-seg
path: {path}  # dataset root dir
train: images/train
val: images/val
test: # optional
names:
  0: person
  1: bicycle
"""


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


def add(root, part, name, lines=None):
    image = root / "images" / part / f"{name}.jpg"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(image)
    label = root / "labels" / part / f"{name}.txt"
    label.parent.mkdir(parents=True, exist_ok=True)
    if lines is not None:
        label.write_text("".join(f"{line}\n" for line in lines))
    return label


@pytest.fixture
def root(tmp_path):
    """Two images for training, the second without objects, and one for validation."""
    add(tmp_path, "train", "a", [f"1 {SQUARE}", "0 0.5 0 1 0 1 1 0.5 1"])
    add(tmp_path, "train", "b")
    add(tmp_path, "val", "a", [f"0 {SQUARE}"])
    (tmp_path / "data.yaml").write_text(YAML.format(path="."))
    return tmp_path


def drawn(place):
    source = find_yolo(place)
    return [source.draw(image) for image in source.images]


def test_each_line_is_an_object_and_no_file_none(root):
    source = find_yolo(root / "data.yaml")
    assert list(source.categories.rows()) == [(0, "person", True), (1, "bicycle", True)]
    assert [(i.file_name, i.image_id, i.part) for i in source.images] == [
        ("train/a.jpg", "train/a", "train"),
        ("train/b.jpg", "train/b", "train"),
        ("val/a.jpg", "val/a", "val"),
    ]
    objects, nothing, _ = drawn(root)
    square, half = objects.regions
    assert (square.category_id, square.top, square.left) == (1, 2, 2)
    assert square.mask.shape == (4, 4) and square.mask.all()
    assert (half.category_id, half.left, half.mask.shape) == (0, 10, (10, 10))
    assert nothing.regions == [] and nothing.notes == {UNLABELLED: 1}


def test_a_dataset_comes_back_as_it_was(main, tmp_path):
    pictures = {name: draw_blobs(seed, (40, 53), 9) for seed, name in enumerate("ab")}
    pictures["c"] = draw_blobs(3, (40, 53), 9, stuff=False)
    truth = write_truth(tmp_path / "truth", pictures)
    words = write_yolo(truth, tmp_path / "written")
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out/train") == []


@pytest.mark.parametrize(
    "text",
    [
        "path: ../datasets/coco8-seg\ntrain: images/train\nval: images/val\nnames: [a, b]",
        "train: ../images/train\nval: ../images/val\ntest: ../images/test\nnc: 2\nnames: [a, b]",
        "train: train.txt\nvalid: [images/val]\nnames: {0: a, 1: b}",
        "train: .\\images\\train\nval: {root}/images/val\nnames: [a, b]",
    ],
    ids=["path of another machine", "Roboflow", "CVAT", "Windows and absolute"],
)
def test_images_are_found_as_exporters_name_them(root, text):
    (root / "data.yaml").write_text(text.replace("{root}", str(root)))
    (root / "train.txt").write_text("data/images/train/a.jpg\n./images/train/b.jpg\n")
    source = find_yolo(root / "data.yaml")
    assert [(image.file_name, image.part) for image in source.images] == [
        ("train/a.jpg", "train"),
        ("train/b.jpg", "train"),
        ("val/a.jpg", "val"),
    ]
    assert [note[:13] for note in source.notes] == ["Left out test"] * ("test" in text)


def test_a_folder_with_classes_txt_has_no_parts(root):
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("person\nbicycle\n")
    source = find_yolo(root)
    assert source.categories.names == ("person", "bicycle")
    assert {image.part for image in source.images} == {""} and len(source.images) == 3


def test_labels_may_lie_beside_the_images(tmp_path):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(f"0 {SQUARE}\n\n")
    (tmp_path / "classes.txt").write_text("cell\n")
    (labels,) = drawn(tmp_path)
    assert len(labels.regions) == 1


def test_what_is_no_region_is_dropped_and_counted(root):
    add(root, "train", "a", ["0 0.1 0.1", "0 0.1 0.1 0.1 0.1 0.1 0.1", f"0 {SQUARE}"])
    labels = drawn(root)[0]
    assert labels.dropped == {THIN: 1, EMPTY: 1} and len(labels.regions) == 1


def test_parts_joined_by_a_line_and_holes_are_drawn_as_such(root):
    parts = (
        "0.1 0.2 0.2 0.2 0.2 0.4 0.1 0.4 0.1 0.2 0.8 0.2 0.9 0.2 0.9 0.4 0.8 0.4 0.8 0.2 0.1 0.2"
    )
    ring = "0 0 1 0 1 1 0 1 0 0 0.5 0.5 0.5 0.7 0.7 0.7 0.7 0.5 0.5 0.5 0 0"
    add(root, "train", "a", [f"0 {parts}", f"0 {ring}"])
    two, hole = drawn(root)[0].regions
    assert (two.mask.shape, two.mask.sum()) == ((2, 16), 8)
    assert hole.mask.sum() == 200 - 4 * 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 0.5 0.5 0.2 0.2", "is a box .5 numbers.*YOLO .segmentation"),
        (f"0 {SQUARE} 0.9", "has 10 numbers; it takes a class and pairs"),
        (f"2 {SQUARE}", r"has the class 2; the classes are \[0, 1\]"),
        (f"0.5 {SQUARE}", "has the class 0.5"),
        ("0 10 10 30 10 30 30", "has the coordinate 10; they are shares"),
        ("0 0.1 0.1 nan 0.1 0.3 0.3", "has the coordinate nan"),
        ("person 0.1 0.1 0.3 0.1 0.3 0.3", "does not consist of numbers"),
    ],
)
def test_a_line_that_cannot_be_is_named(root, line, complaint):
    label = add(root, "train", "a", [f"0 {SQUARE}", line])
    with pytest.raises(ValueError, match=rf"{label}: line 2: .*{complaint}"):
        drawn(root)


def test_a_label_file_that_is_no_text_is_named(root):
    label = add(root, "train", "a", [])
    label.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=rf"{label}: not a text file"):
        drawn(root)


def test_a_corner_may_lie_a_little_outside():
    assert read_line("1.0 -0.002 0 1.005 0 1 1", [0, 1])[0] == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("train: images/train\nnames: [a", "not a YAML file"),
        ("train: images/train", "lacks 'names'"),
        ("train: images/train\nnames: a", "'names' must be a list"),
        ("train: images/train\nnames: [a, a]", r"names the classes \['a'\] twice"),
        ("train: images/train\nnames: []", "names no class"),
        ("train: images/train\nnc: 3\nnames: [a, b]", "'nc' is 3, but there are 2 names"),
        ("names: [a, b]", "there is no image"),
        ("train: images/train\nval: images/train\nnames: [a, b]", "is in train and val"),
    ],
)
def test_a_yaml_that_cannot_be_is_named(root, text, complaint):
    (root / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        find_yolo(root)


def test_what_does_not_exist_is_named(root, tmp_path):
    (root / "data.yaml").write_text("train: images/trian\nnames: [a]")
    with pytest.raises(FileNotFoundError, match="names 'images/trian', which does not exist"):
        find_yolo(root)
    (root / "data.yaml").write_text("train: train.txt\nnames: [a]")
    (root / "train.txt").write_text("images/train/c.jpg")
    with pytest.raises(FileNotFoundError, match=r"train\.txt names 'images/train/c\.jpg'"):
        find_yolo(root)
    with pytest.raises(FileNotFoundError, match=r"holds neither data\.yaml nor classes\.txt"):
        find_yolo(root / "images")


def test_labels_without_images_are_told_and_none_at_all_is_refused(root):
    (root / "images/train/a.jpg").unlink()
    assert "1 label files belong to no image" in find_yolo(root).notes[0]
    for path in root.glob("labels/*/*.txt"):
        path.unlink()
    with pytest.raises(ValueError, match=r"no image has a label file.*labels/train/b\.txt"):
        find_yolo(root)
