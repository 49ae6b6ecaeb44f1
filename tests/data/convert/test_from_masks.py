import numpy as np
import pytest
from PIL import ExifTags, Image

from kmax_deeplab.data.convert.from_masks import EMPTY, draw_masks, find_masks, read_mask
from kmax_deeplab.data.convert.label_values import read_values
from tests.data.convert.round_trip import differences, draw_blobs, save_mask, write_truth
from tests.data.convert.writers_a import write_bowl, write_masks
from tests.scripts import exit_status, load_script

SIZE = (6, 8)


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def square(top, left, height=2, width=2):
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.fixture
def folder(tmp_path):
    """Two images; the first has a cell and a rod, the second a cell."""
    for name in ("a", "part/b"):
        save(tmp_path / f"images/{name}.png", np.zeros((*SIZE, 3)))
        save_mask(tmp_path / f"masks/{name}/cell/1.png", square(0, 0))
    save_mask(tmp_path / "masks/a/rod/7.png", square(1, 1, 4, 6))
    return tmp_path


def found(folder, class_name=None):
    return find_masks(folder / "images", folder / "masks", class_name)


def test_each_mask_is_an_object_of_the_class_of_its_folder(folder):
    source = found(folder)
    assert list(source.categories.rows()) == [(1, "cell", True), (2, "rod", True)]
    assert [(i.image_id, i.file_name) for i in source.images] == [
        ("a", "a.png"),
        ("part/b", "part/b.png"),
    ]
    cell, rod = draw_masks(source.images[0]).regions
    assert (cell.category_id, cell.top, cell.left, cell.mask.shape) == (1, 0, 0, (2, 2))
    assert (rod.category_id, rod.top, rod.left, rod.mask.shape) == (2, 1, 1, (4, 6))


@pytest.mark.parametrize("write", [write_bowl, write_masks])
def test_a_dataset_comes_back_as_it_was(main, write, tmp_path):
    pictures = {name: draw_blobs(seed, (40, 50), 9) for seed, name in enumerate("abc")}
    truth = write_truth(tmp_path / "truth", pictures)
    words = write(truth, tmp_path / "written")
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == []


def test_masks_beside_each_other_have_the_class_that_the_command_names(tmp_path):
    save(tmp_path / "x1/images/x1.png", np.zeros((*SIZE, 3)))
    mask = save(tmp_path / "x1/masks/0.png", square(0, 0))
    source = find_masks(tmp_path, class_name="nucleus")
    assert source.categories.names == ("nucleus",)
    assert (source.images[0].image_id, source.images[0].file_name) == ("x1", "x1/images/x1.png")
    with pytest.raises(ValueError, match=rf"{mask}: no folder says its class.*--class"):
        find_masks(tmp_path)


def test_an_empty_folder_is_an_image_without_objects_and_an_empty_mask_is_dropped(folder):
    save(folder / "images/c.png", np.zeros((*SIZE, 3)))
    (folder / "masks/c").mkdir()
    save_mask(folder / "masks/part/b/cell/2.png", square(0, 0) & False)
    _, nothing, drawn = map(draw_masks, found(folder).images)
    assert len(drawn.regions) == 1 and drawn.dropped == {EMPTY: 1}
    assert nothing.regions == [] and nothing.size == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16", "RGBA", "LA"])
def test_a_mask_is_read_in_any_mode(mode, tmp_path):
    mask = square(1, 2, 3, 4)
    grey = Image.fromarray(mask.astype(np.uint8) * (255 if mode != "P" else 1))
    if mode == "I;16":
        grey = Image.fromarray(mask.astype(np.uint16) * 65535)
    grey = grey if mode in ("I;16", "L", "P") else grey.convert(mode)
    if mode == "P":
        grey.putpalette([0, 0, 0, 0, 0, 9])
    grey.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    assert (read_mask(tmp_path / "a.png") == mask).all()


def test_soft_edges_end_at_half_and_several_objects_are_refused(tmp_path):
    values = square(1, 1, 4, 4) * 200
    values[:, 5], values[:, 6] = 101, 100
    assert (
        read_mask(save(tmp_path / "a.png", values))[0].tolist()
        == [False] * 5 + [True] + [False] * 2
    )
    path = save(tmp_path / "b.png", square(0, 0, 3, 3) + 2 * square(0, 4, 3, 3))
    with pytest.raises(ValueError, match=rf"{path} has areas of the value 1 beside its largest, 2"):
        read_mask(path)


def test_a_transparent_mask_and_a_damaged_one_are_named(tmp_path):
    colours = np.full((*SIZE, 4), 255, np.uint8)
    colours[0, 0, 3] = 0
    with pytest.raises(ValueError, match=r"a\.png is partly transparent"):
        read_mask(save(tmp_path / "a.png", colours))
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"a\.png cannot be read"):
        read_mask(path)


def test_what_does_not_match_is_named(folder):
    path = save(folder / "masks/part/b/cell/3.png", np.ones((5, 8)))
    with pytest.raises(ValueError, match=rf"{path} has \(height, width\) \(5, 8\), .*b\.png has"):
        draw_masks(found(folder).images[1])
    path = save(folder / "masks/c/cell/1.png", square(0, 0))
    with pytest.raises(ValueError, match=rf"{path} belongs to no image"):
        found(folder)
    image = save(folder / "images/c/d.png", np.zeros((*SIZE, 3)))
    with pytest.raises(ValueError, match=rf"{image} has no folder of masks .*masks/c/d"):
        found(folder)


def test_a_folder_of_another_layout_is_refused(folder):
    with pytest.raises(ValueError, match="holds no ID/images"):
        find_masks(folder / "images")
    save(folder / "x/images/1.png", np.zeros(SIZE))
    twice = save(folder / "x/images/2.png", np.zeros(SIZE))
    with pytest.raises(ValueError, match=rf"{twice} are two images of the same masks"):
        find_masks(folder)


def test_masks_fit_photos_as_they_are_seen(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(folder / "images/a.png", exif=exif)  # upright 8 wide, 6 high
    assert draw_masks(found(folder).images[0]).size == SIZE


def test_a_file_of_several_masks_is_refused_and_one_that_exif_turns_is_turned(tmp_path):
    pages = [Image.fromarray(square(top, 0).astype(np.uint8)) for top in (0, 3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"a\.tif cannot be read \(holds 2 pictures"):
        read_mask(tmp_path / "a.tif")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    pages[0].save(tmp_path / "b.png", exif=exif)
    assert (read_mask(tmp_path / "b.png") == square(4, 6)).all()
    assert (read_values(tmp_path / "b.png") == square(4, 6)).all()
