"""Cityscapes with no more than its task needs, and with train ids in the place of ids."""

import shutil

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

from kmax_deeplab.data.convert.cityscapes_ids import to_train_ids
from tests.datasets.prepared import BENCHMARKS

NEEDED = ("instanceIds.png", "labelIds.png")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


class Tree:
    """A split of Cityscapes as `datasets_root` has it, with some kinds of files alone."""

    def __init__(self, prepared, root):
        self.prepared, self.root = prepared / "cityscapes", root
        self.truth = root / "cityscapes/gtFine"
        shutil.copytree(self.prepared / "leftImg8bit/val", self.truth.parent / "leftImg8bit/val")
        shutil.copytree(self.prepared / "gtFine/val", self.truth / "val")
        self.keep(*NEEDED)
        self.stem = self.truth / "val/frankfurt/frankfurt_000002_000021_gtFine"

    def keep(self, *kinds):
        for path in self.truth.glob("val/*/*"):
            if not path.name.endswith(kinds):
                path.unlink()

    def file(self, kind):
        return self.stem.with_name(f"{self.stem.name}_{kind}")

    def polygons(self):
        annotation = Annotation()
        path = self.prepared / self.file("polygons.json").relative_to(self.truth.parent)
        annotation.fromJsonFile(str(path))
        return annotation

    def prepare(self):
        words = ["--root", str(self.root), "--workers", "1", "--splits", "val"]
        BENCHMARKS[1].script().main(words)

    def assert_prepared(self):
        whole = self.prepared / "gtFine"
        for path in whole.glob("cityscapes_panoptic_val*"):
            assert (self.truth / path.name).exists()
        files = list(whole.rglob("cityscapes_panoptic_val*/*.png"))
        for path in (whole / "cityscapes_panoptic_val.json", *files):
            assert (self.truth / path.relative_to(whole)).read_bytes() == path.read_bytes()
        assert len(files) == 4 and not list(self.truth.rglob("*.partial*"))


@pytest.fixture
def tree(datasets_root, tmp_path):
    return Tree(datasets_root, tmp_path)


def test_instance_ids_and_label_ids_are_enough(tree, capsys):
    tree.prepare()
    tree.assert_prepared()
    out, progress = capsys.readouterr()
    assert out == f"Cityscapes val: 4 images are ready in {tree.truth.parent}\n"
    assert "panoptic PNGs of val: 100%" in progress and "4/4" in progress
    drawn = createLabelImage(tree.polygons(), "trainIds")
    assert np.array_equal(pixels(tree.file("labelTrainIds.png")), np.asarray(drawn))
    assert to_train_ids(np.array([[7, 33, 0, 29]])).tolist() == [[0, 18, 255, 255]]


def test_instance_ids_alone_make_the_dataset_and_what_then_lacks_is_said(tree, capsys):
    tree.keep("instanceIds.png")
    tree.prepare()
    tree.assert_prepared()
    assert not list(tree.truth.rglob("*TrainIds.png"))
    said = capsys.readouterr().out
    assert "4 of them have no label ids, e.g. " in said and "the official IoU does not" in said


def test_training_ids_are_drawn_from_polygons_where_there_are_no_label_ids(tree):
    tree.file("labelIds.png").unlink()
    path = tree.file("polygons.json")
    shutil.copy(tree.prepared / path.relative_to(tree.truth.parent), path)
    tree.prepare()
    drawn = createLabelImage(tree.polygons(), "trainIds")
    assert np.array_equal(pixels(tree.file("labelTrainIds.png")), np.asarray(drawn))


def train_ids_as_instance_ids(tree):
    image = np.asarray(createInstanceImage(tree.polygons(), "trainIds"))
    Image.fromarray(image.astype(np.uint16)).save(path := tree.file("instanceIds.png"))
    return rf"{path} holds train ids \(0 to 18, 255\), e\.g\. .*unpack gtFine"


def train_ids_as_label_ids(tree):
    createLabelImage(tree.polygons(), "trainIds").save(path := tree.file("labelIds.png"))
    return rf"{path} holds train ids \(0 to 18, 255\), e\.g\. \[255\]"


def train_ids_without_a_void_pixel_as_label_ids(tree):
    labels = np.asarray(createLabelImage(tree.polygons(), "trainIds"))
    Image.fromarray(np.where(labels == 255, 0, labels)).save(path := tree.file("labelIds.png"))
    return rf"{path} names other classes than .*instanceIds\.png in \d+% of the pixels"


def label_ids_of_another_image(tree):
    other = tree.file("labelIds.png").with_name("frankfurt_000000_000019_gtFine_labelIds.png")
    shutil.copy(other, tree.file("labelIds.png"))
    return rf"{tree.file('labelIds.png')} names other classes than"


def train_ids_by_their_name(tree):
    tree.file("instanceIds.png").rename(tree.file("instanceTrainIds.png"))
    return (
        rf"{tree.file('instanceIds.png')} does not exist; .* instance ids, and "
        r".*_instanceTrainIds\.png holds train ids: unpack gtFine"
    )


def a_missing_photo(tree):
    path = tree.truth.parent / "leftImg8bit/val/frankfurt/frankfurt_000002_000021_leftImg8bit.png"
    path.unlink()
    return rf"{path} does not exist; .*_instanceIds\.png annotates it: unpack leftImg8bit_"


def a_damaged_file(tree):
    path = tree.file("instanceIds.png")
    path.write_bytes(path.read_bytes()[:60])
    return rf"{path} cannot be read"


def numbers_of_something_else(tree):
    path = tree.file("labelIds.png")
    Image.fromarray(np.full((64, 128), 77, np.uint8)).save(path)
    return rf"{path} holds numbers that are no ids of Cityscapes, e\.g\. \[77\]"


FAULTS = (
    *(train_ids_as_instance_ids, train_ids_as_label_ids, label_ids_of_another_image),
    *(train_ids_without_a_void_pixel_as_label_ids, train_ids_by_their_name, a_missing_photo),
    *(a_damaged_file, numbers_of_something_else),
)


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_named_and_once_it_is_mended_all_is_made(tree, plant, tmp_path):
    match = plant(tree)
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        tree.prepare()
    assert not (tree.truth / "cityscapes_panoptic_val.json").exists()
    shutil.rmtree(tree.root / "cityscapes/leftImg8bit")
    shutil.rmtree(tree.truth / "val")
    mended = Tree(tree.prepared.parent, tmp_path)
    mended.prepare()
    mended.assert_prepared()


def test_a_split_of_train_ids_alone_is_refused_even_if_each_might_be_ids(tree):
    tree.keep("instanceIds.png")
    for path in tree.truth.glob("val/*/*_instanceIds.png"):
        ids = pixels(path).astype(np.int64)
        train = to_train_ids(np.where(ids < 1000, ids, ids // 1000))
        Image.fromarray(np.where(train == 255, 0, train).astype(np.uint16)).save(path)
    with pytest.raises(ValueError, match=rf"{tree.truth}/val: no image shows a class above 18"):
        tree.prepare()
    assert not list(tree.truth.glob("*cityscapes_panoptic*"))
