import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.components import count_touching, number_components
from tests.data.convert.round_trip import Truth, differences, write_truth
from tests.data.convert.writers_a import write_label_pngs
from tests.scripts import exit_status, load_script


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


def disks(*centers, radius=8):
    rows, columns = np.indices((30, 60))
    return np.any([np.hypot(rows - r, columns - c) <= radius for r, c in centers], axis=0)


def test_pixels_that_touch_by_a_corner_are_one_object():
    numbers, count = number_components(np.array([[1, 0, 0, 1], [0, 1, 0, 1]]) > 0)
    assert (numbers.tolist(), count) == ([[1, 0, 0, 2], [0, 1, 0, 2]], 2)


@pytest.mark.parametrize(
    ("mask", "touching"),
    [
        (disks((15, 15)), 0),
        (disks((15, 15), (15, 40)), 0),
        (disks((15, 15), (15, 30)), 1),
        (disks((15, 15), (15, 29), (15, 43)), 1),
        (disks((15, 0), (15, 59)), 0),
        (np.ones((30, 60), bool), 0),
        (np.zeros((30, 60), bool), 0),
        (disks((4, 4), (4, 7), radius=2), 0),
    ],
    ids=["one", "apart", "two", "three", "cut off", "full", "none", "too small to tell"],
)
def test_components_that_fall_apart_into_cores_are_counted(mask, touching):
    assert count_touching(*number_components(mask)) == touching


def test_objects_with_gaps_come_back_from_a_label_image(main, tmp_path):
    ids = np.ones((30, 60), int)
    ids[disks((15, 10))] = 2
    ids[disks((15, 30))] = 3
    ids[disks((15, 48))] = 4
    truth = write_truth(tmp_path / "truth", {"a": (ids, ["ground", "cell", "rod", "cell"])})
    (tmp_path / "pngs").mkdir()
    words = write_label_pngs(truth, tmp_path / "pngs")
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == []


def test_objects_that_touch_become_one_which_is_said(main, tmp_path, capsys):
    ids = np.ones((30, 60), int)
    ids[disks((15, 15))] = 2
    ids[disks((15, 30))] = 3
    truth = write_truth(tmp_path / "truth", {"a": (ids, ["ground", "cell", "cell"])})
    (tmp_path / "pngs").mkdir()
    words = write_label_pngs(truth, tmp_path / "pngs")
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == ["a: other segments"]
    said = "Components of cell that fall apart into several cores, probably objects that touch: 1."
    assert said in capsys.readouterr().out


@pytest.fixture
def masks(tmp_path):
    """An image with a mask of 0 and 255, and how to write another."""

    def write(name, values):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.new("RGB", values.shape[::-1]).save(tmp_path / "images" / name)
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "masks" / name)

    write("a.png", disks((15, 15), (15, 40)) * 255)
    words = ["pngs", f"--images={tmp_path / 'images'}", f"--semantic={tmp_path / 'masks'}"]
    return write, [*words, f"--output={tmp_path / 'out'}", "--components", "nucleus"]


def test_masks_of_0_and_255_need_no_table(main, masks, tmp_path, capsys):
    assert exit_status(main, *masks[1]) == 0
    (picture,) = Truth(tmp_path / "out").pictures()
    assert sorted(picture.classes.values()) == ["background", "nucleus", "nucleus"]
    assert len(np.unique(picture.ids)) == 3


def test_masks_that_are_none_are_named(main, masks, tmp_path):
    write, words = masks
    write("b.png", disks((15, 15)) * 7)
    assert "b.png: has the values [7]" in exit_status(main, *words)
    write("a.png", disks((15, 15)) + 5)
    assert r"a.png has the values [5, 6] beside 0" in exit_status(main, *words)


def test_numbered_objects_and_components_may_be_mixed(main, masks, tmp_path):
    write, words = masks
    values = np.where(disks((15, 15), (15, 40)), 255, 9)
    write("a.png", values)
    (tmp_path / "instances").mkdir()
    numbers = np.where(values == 9, np.arange(60) // 30 + 1, 1)  # of the nuclei all alike
    Image.fromarray(numbers.astype(np.uint8)).save(tmp_path / "instances" / "a.png")
    (tmp_path / "classes.tsv").write_text("id\tname\tisthing\n9\ttile\t1\n255\tnucleus\t1\n")
    more = (f"--classes={tmp_path / 'classes.tsv'}", f"--instances={tmp_path / 'instances'}")
    assert exit_status(main, *words, *more) == 0
    (picture,) = Truth(tmp_path / "out").pictures()
    assert sorted(picture.classes.values()) == ["nucleus", "nucleus", "tile", "tile"]
    assert picture.ids[15, 15] != picture.ids[15, 40] and picture.ids[0, 0] != picture.ids[0, 59]


def test_a_component_that_is_no_class_is_refused(main, masks, tmp_path):
    (tmp_path / "classes.tsv").write_text("id\tname\tisthing\n0\tground\t0\n255\tcell\t1\n")
    words = (*masks[1], f"--classes={tmp_path / 'classes.tsv'}")
    assert "--components ['nucleus']: the classes are ['ground', 'cell']" in exit_status(
        main, *words
    )
    assert "give --classes" in exit_status(main, *masks[1], "a")
