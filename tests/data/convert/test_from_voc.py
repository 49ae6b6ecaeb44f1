import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.from_voc import find_voc
from kmax_deeplab.data.convert.voc_classes import NAMES, read_voc_classes, voc_color
from tests.data.convert.round_trip import differences, draw_blobs, write_truth
from tests.data.convert.writers_a import write_voc
from tests.scripts import exit_status, load_script

PALETTE = [channel for number in range(256) for channel in voc_color(number)]
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nnucleus:32,183,250::\n"
CLASS = np.array([[0, 0, 8, 8], [15, 255, 8, 8], [15, 255, 15, 0]], np.uint8)
OBJECT = np.array([[0, 0, 1, 2], [3, 255, 1, 2], [3, 255, 4, 0]], np.uint8)
"""Two cats (8) and two persons (15) with void between them."""


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


def save(path, values, palette=PALETTE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if image.mode == "L" and palette:
        image.putpalette(palette)
    image.save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Three images: one for training, one for validation, one without labels."""
    for name in ("2007_000032", "2007_000033", "2008_000001"):
        save(tmp_path / f"JPEGImages/{name}.jpg", np.zeros((3, 4, 3)))
    for name, part in (("2007_000032", "train"), ("2007_000033", "val")):
        save(tmp_path / f"SegmentationClass/{name}.png", CLASS)
        save(tmp_path / f"SegmentationObject/{name}.png", OBJECT)
        listed = tmp_path / f"ImageSets/Segmentation/{part}.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text(f"{name}\n")
    (listed.parent / "trainval.txt").write_text("2007_000032\n2007_000033\n")
    return tmp_path


def drawn(root, **options):
    source = find_voc(root, **options)
    return source, [source.draw(image) for image in source.images]


def test_the_palette_is_that_of_the_publishers():
    assert [voc_color(n) for n in (0, 1, 2, 20)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (0, 64, 128),
    ]


def test_classes_are_those_of_voc_and_lists_are_parts(root):
    source, (labels, _) = drawn(root)
    assert source.categories.names == NAMES and len(NAMES) == 21
    assert source.categories.is_thing == (False, *[True] * 20)
    assert [(i.file_name, i.part) for i in source.images] == [
        ("2007_000032.jpg", "train"),
        ("2007_000033.jpg", "val"),
    ]
    areas = [(region.category_id, int(region.mask.sum())) for region in labels.regions]
    assert areas == [(0, 3), (8, 2), (8, 2), (15, 2), (15, 1)]
    assert (labels.void == (CLASS == 255)).all()
    assert not any(region.iscrowd for region in labels.regions if region.category_id)


def test_a_dataset_comes_back_as_it_was(main, tmp_path):
    pictures = {name: draw_blobs(seed, (40, 50), 9) for seed, name in enumerate("ab")}
    pictures["c"] = draw_blobs(3, (40, 50), 9, stuff=False)
    many = np.arange(1, 301).reshape(15, 20)
    pictures["d"] = (many, ["cell"] * 300)  # more than a palette has numbers for
    truth = write_truth(tmp_path / "truth", pictures)
    words = write_voc(truth, tmp_path / "written")
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == []


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_labelmap_gives_classes_by_their_colours(root, mode):
    (root / "labelmap.txt").write_text(LABELMAP + "ignored:224,224,192::\n")
    colours = np.array([[0, 0, 0], [32, 183, 250], [224, 224, 192]], np.uint8)
    numbers = np.array([[0, 0, 1, 1], [1, 2, 1, 1], [1, 2, 1, 0]])
    for name in ("2007_000032", "2007_000033"):
        pixels = colours[numbers] if mode == "RGB" else numbers
        save(root / f"SegmentationClass/{name}.png", pixels, colours.ravel().tolist())
    source, (labels, _) = drawn(root)
    assert list(source.categories.rows()) == [(0, "background", False), (1, "nucleus", True)]
    assert source.categories.colors[1] == (32, 183, 250)
    assert [region.category_id for region in labels.regions] == [0, 1, 1, 1, 1]
    assert labels.void.sum() == 2


def test_a_labelmap_without_colours_means_those_of_voc(root):
    (root / "labelmap.txt").write_text("# as Datumaro writes it\nbackground:::\ncat:::\ndog:::\n")
    assert read_voc_classes(root).categories.colors == ((0, 0, 0), (128, 0, 0), (0, 128, 0))


@pytest.mark.parametrize(
    ("text", "names", "black"),
    [
        ("background:0,128,0::\ncat:9,9,9::", ("background", "cat"), 0),
        ("cat:9,9,9::", ("cat", "background"), 1),
        ("sky:0,0,0::\ncat:9,9,9::", ("sky", "cat"), 0),
    ],
)
def test_black_is_background_unless_it_is_listed(root, text, names, black):
    (root / "labelmap.txt").write_text(text)
    classes = read_voc_classes(root)
    assert (classes.categories.names, classes.colors[0, 0, 0]) == (names, black)


def test_a_table_of_classes_counts_instead(root, tmp_path):
    rows = "0\tground\t0\n8\tcat\t1\n15\tman\t0\n"
    (tmp_path / "classes.tsv").write_text("id\tname\tisthing\n" + rows)
    _, (labels, _) = drawn(root, table=tmp_path / "classes.tsv")
    assert [region.category_id for region in labels.regions] == [0, 8, 8, 15, 15]


def test_thing_pixels_of_object_0_become_a_crowd(root):
    save(root / "SegmentationObject/2007_000032.png", np.where(OBJECT == 2, 0, OBJECT))
    labels = drawn(root)[1][0]
    assert [(r.category_id, r.iscrowd) for r in labels.regions][1:3] == [(8, True), (8, False)]


def test_void_of_an_object_png_is_void(root):
    save(root / "SegmentationObject/2007_000032.png", np.where(OBJECT == 2, 255, OBJECT))
    labels = drawn(root)[1][0]
    assert labels.void.sum() == 4 and len(labels.regions) == 4


def test_without_objects_all_must_be_stuff(root, main, tmp_path):
    for path in (root / "SegmentationObject").iterdir():
        path.unlink()
    (root / "SegmentationObject").rmdir()
    words = ("voc", f"--root={root}", f"--output={tmp_path / 'out'}")
    assert "say --things without a class" in exit_status(main, *words)
    assert exit_status(main, *words, "--things") == 0


def test_a_split_of_ones_own_beats_the_lists(root, main, tmp_path):
    for name, part in (("2007_000033", "train"), ("2007_000032", "val")):
        (tmp_path / f"{part}.txt").write_text(name)
        save(root / f"JPEGImages/{name}.jpg", np.full((3, 4, 3), 99 * (part == "val")))
    split = f"--split=train={tmp_path / 'train.txt'},val={tmp_path / 'val.txt'}"
    words = ("voc", f"--root={root}", f"--output={tmp_path / 'out'}", split)
    assert exit_status(main, *words) == 0
    assert (tmp_path / "out/train/panoptic/2007_000033.png").is_file()


def test_a_list_of_all_counts_where_train_and_val_have_none(root):
    folder = root / "ImageSets/Segmentation"
    (folder / "train.txt").unlink()
    (folder / "val.txt").rename(folder / "test.txt")
    (folder / "trainval.txt").write_text("2007_000032")
    source = find_voc(root)
    assert [(one.image_id, one.part) for one in source.images] == [
        ("2007_000033", "test"),
        ("2007_000032", ""),
    ]
    assert not source.notes


def test_labels_in_no_list_are_told(root):
    (root / "ImageSets/Segmentation/val.txt").unlink()
    source = find_voc(root)
    assert source.notes and "1 images with labels are in no list" in source.notes[0]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("JPEGImages/2007_000032.jpg", r"JPEGImages has no file 2007_000032\.\*"),
        ("SegmentationClass/2007_000032.png", r"SegmentationClass has no file 2007_000032"),
        ("SegmentationObject/2007_000033.png", r"SegmentationObject has no file 2007_000033"),
    ],
)
def test_a_missing_file_is_named(root, name, complaint):
    (root / name).unlink()
    with pytest.raises(ValueError, match=complaint):
        find_voc(root)


def test_what_cannot_be_is_named_with_its_file(root):
    path = save(root / "SegmentationClass/2007_000032.png", CLASS + 30)
    with pytest.raises(ValueError, match=rf"{path}: has the values \[29, 30, 38, 45\]"):
        drawn(root)
    save(path, np.full((3, 4, 3), 7))
    with pytest.raises(ValueError, match=rf"{path} has the colours \[\(7, 7, 7\)\]"):
        drawn(root)
    save(path, CLASS[:2])
    with pytest.raises(ValueError, match=rf"{path} has \(height, width\) \(2, 4\), .*\.jpg has"):
        drawn(root)
    path.write_bytes(b"PNG")
    with pytest.raises(ValueError, match=rf"{path} cannot be read"):
        drawn(root)
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000032")
    with pytest.raises(ValueError, match="'2007_000032' is in several lists"):
        find_voc(root)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("cat", r"labelmap\.txt: line 4 is 'cat'; write name:red"),
        ("cat:1,2,256::", "line 4 is"),
        ("cat:0,0,0::", "line 4: the name or the colour occurs twice"),
        ("nucleus:9,9,9::", "line 4: the name or the colour occurs twice"),
    ],
)
def test_a_labelmap_that_cannot_be_is_named_with_its_line(root, line, complaint):
    (root / "labelmap.txt").write_text(LABELMAP + line)
    with pytest.raises(ValueError, match=complaint):
        read_voc_classes(root)


def test_another_folder_is_refused(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="SegmentationClass: this folder does not exist"):
        find_voc(tmp_path / "ImageSets")
    with pytest.raises(FileNotFoundError, match=r"x: this folder does not exist.*--images"):
        find_voc(root, images=tmp_path / "x")
