import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.from_labelme import EMPTY, find_labelme
from kmax_deeplab.data.convert.labelme_shapes import draw_shape
from tests.data.convert.round_trip import differences, draw_blobs, write_truth
from tests.data.convert.writers_a import write_labelme
from tests.scripts import exit_status, load_script

SIZE = (10, 20)
"""(height, width) of the images."""


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


def shape(points, kind="polygon", label="cell", **fields):
    given = {"label": label, "points": points, "shape_type": kind, "group_id": None}
    return {**given, "description": "", "flags": {}, "mask": None, **fields}


def square(left, top, size=2, **fields):
    right, bottom = left + size, top + size
    return shape([[left, top], [right, top], [right, bottom], [left, bottom]], **fields)


def encode(mask):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def write(tmp_path):
    """A function that writes a JSON, and, unless it is there, its image."""

    def written(*shapes, name="a", **fields):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imageData": None}
        content |= {"imagePath": f"{path.stem}.jpg", "imageHeight": 10, "imageWidth": 20}
        path.write_text(json.dumps({**content, **fields}))
        image = path.with_suffix(".jpg")
        if not image.exists():
            Image.new("RGB", SIZE[::-1]).save(image)
        return path

    return written


def drawn(folder, **options):
    source = find_labelme(folder, **options)
    return [source.draw(image) for image in source.images]


def test_classes_are_the_labels_sorted_and_images_have_their_path(write, tmp_path):
    write(square(0, 0, label="rod"), square(4, 4, label="cell"))
    write(square(0, 0, label="ant"), name="part/b")
    source = find_labelme(tmp_path)
    assert list(source.categories.rows()) == [(1, "ant", True), (2, "cell", True), (3, "rod", True)]
    assert [image.file_name for image in source.images] == ["a.jpg", "part/b.jpg"]
    first, second = source.draw(source.images[0]).regions
    assert (first.category_id, second.category_id, second.top, second.left) == (3, 2, 4, 4)
    assert second.mask.sum() == 4


def test_a_dataset_comes_back_as_it_was(main, tmp_path):
    pictures = {name: draw_blobs(seed, (40, 53), 9) for seed, name in enumerate("abc")}
    truth = write_truth(tmp_path / "truth", pictures)
    words = write_labelme(truth, tmp_path / "written")
    kinds = {
        s["shape_type"] for s in json.loads((tmp_path / "written/a.json").read_text())["shapes"]
    }
    assert kinds == {"polygon", "mask"}
    assert exit_status(main, *words, f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == []


@pytest.mark.parametrize(
    ("points", "kind", "area"),
    [
        ([[1, 1], [4, 1], [4, 3], [1, 3]], None, 6),
        ([[4, 3], [1, 1]], "rectangle", 6),
        ([[1, 1], [4, 1], [4, 3], [1, 3]], "rectangle", 6),
        ([[1, 1], [4, 1], [4, 3], [1, 3]], "oriented_rectangle", 6),
        ([[1, 1], [4, 1], [4, 3], [1, 3]], "rotation", 6),
        ([[5, 5], [5, 6.5]], "circle", 4),  # of the 4 x 4 pixels around it the inner ones
        ([[0, 0], [0, 1]], "circle", 1),
    ],
)
def test_kinds_of_shapes_have_the_area_that_is_theirs(points, kind, area):
    assert draw_shape(kind or "polygon", shape(points, kind), SIZE).sum() == area


def test_a_mask_lies_between_its_corners_and_is_cut_at_the_image():
    ring = np.array([[1, 1, 1], [1, 0, 1]])
    mask = draw_shape("mask", shape([[4, 2], [6, 3]], mask=encode(ring)), SIZE)
    assert mask[2:4, 4:7].tolist() == (ring > 0).tolist() and mask.sum() == 5
    soft = draw_shape("mask", shape([[3.6, 2.4], [6.4, 3.4]], mask=encode(ring * 255)), SIZE)
    assert (soft == mask).all()
    cut = draw_shape("mask", shape([[-1, 9], [1, 10]], mask=encode(ring)), SIZE)
    assert np.argwhere(cut).tolist() == [[9, 0], [9, 1]]
    outside = draw_shape("mask", shape([[-9, 0], [-7, 1]], mask=encode(ring)), SIZE)
    assert not outside.any()


def test_shapes_of_a_group_are_one_object_for_each_label(write, tmp_path):
    one = [square(0, 0, group_id=1), square(6, 0, group_id=1), square(0, 5, group_id=0)]
    write(*one, square(9, 5, group_id=1, label="rod"), square(12, 5))
    (labels,) = drawn(tmp_path)
    assert [int(region.mask.sum()) for region in labels.regions] == [8, 4, 4, 4]
    assert (labels.regions[0].left, labels.regions[0].mask.shape) == (0, (2, 8))


def test_what_encloses_nothing_is_dropped_and_counted(write, tmp_path):
    flat = [shape([[1, 1], [5, 5]], "line"), shape([[1, 1], [5, 5], [6, 6]], "linestrip")]
    thin = [shape([[1, 1], [5, 5]]), shape([[3, 3], [3, 3]], "circle")]
    write(*flat, *thin, shape([[1, 1]], "point"), shape([[2, 2]], "point"), square(0, 0))
    (labels,) = drawn(tmp_path)
    assert len(labels.regions) == 1
    kinds = {
        f"shapes of the kind {kind!r}, which enclose nothing": count
        for kind, count in (("line", 1), ("linestrip", 1), ("point", 2))
    }
    assert labels.dropped == {**kinds, EMPTY: 2}


def test_an_image_is_looked_for_as_the_json_says_beside_it_and_in_a_folder(write, tmp_path):
    (tmp_path / "images").mkdir()
    write(square(0, 0), name="jsons/a", imagePath="..\\images\\a.jpg")
    (tmp_path / "jsons/a.jpg").rename(tmp_path / "images/a.jpg")
    (image,) = find_labelme(tmp_path / "jsons").images
    assert image.labels[1] == tmp_path / "images/a.jpg"
    write(square(0, 0), name="jsons/a", imagePath="C:\\photos\\a.jpg")
    assert len(find_labelme(tmp_path / "jsons").images) == 1  # beside it
    (tmp_path / "jsons/a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json: its image 'C:/photos/a\.jpg' does not"):
        find_labelme(tmp_path / "jsons")
    assert len(find_labelme(tmp_path / "jsons", tmp_path / "images").images) == 1


def test_of_an_embedded_image_it_is_said_how_to_get_it(write, tmp_path):
    write(square(0, 0), imageData="aGVsbG8=").with_suffix(".jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json: .*as imageData: write it out"):
        find_labelme(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (square(0, 0, label=""), r"shapes\[1\] has no label"),
        (square(0, 0, group_id=[1]), r"shapes\[1\]: group_id is \[1\]"),
        (shape([[1, 1], [2, "x"], [3, 3]]), r"shapes\[1\] \(cell\): its points must be pairs"),
        (shape([[1, 1], [2, float("nan")], [3, 3]]), "its points must be pairs"),
        (shape([]), "its points must be pairs"),
        (shape([[1, 1]], "rectangle"), "a rectangle has two points, this one 1"),
        (shape([[1, 1], [2, 2], [3, 3]], "circle"), "a circle has two points, this one 3"),
        (shape([[0, 0], [1, 1]], "mask"), "it is a mask, but has none"),
        (shape([[0, 0], [1, 1]], "mask", mask="%%"), "no PNG in base64"),
        (shape([[0, 0], [1, 1]], "mask", mask="aGVsbG8="), "no PNG in base64"),
        (
            shape([[0, 0], [2, 2]], "mask", mask=encode(np.ones((2, 2)))),
            r"its mask is \(2, 2\), its corners enclose \(3, 3\)",
        ),
    ],
)
def test_a_shape_that_cannot_be_is_named(write, tmp_path, change, complaint):
    path = write(square(0, 0), change)
    with pytest.raises(ValueError, match=rf"{path}: .*{complaint}"):
        drawn(tmp_path)


def test_a_json_that_cannot_be_is_named(write, tmp_path):
    path = write(square(0, 0), imageHeight=11)
    with pytest.raises(ValueError, match=rf"{path}: says .* \(11, 20\), its image .* \(10, 20\)"):
        drawn(tmp_path)
    write(square(0, 0), imageHeight=None, imageWidth=None)
    assert len(drawn(tmp_path)) == 1
    other = write(square(0, 0), name="b", imagePath="a.jpg")
    with pytest.raises(ValueError, match=rf"{path} and {other} are both of .*a\.jpg"):
        find_labelme(tmp_path)
    other.write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match=rf"{other}: no JSON of LabelMe"):
        find_labelme(tmp_path)
    other.write_text('{"shapes"')
    with pytest.raises(ValueError, match=rf"{other}: not a JSON file"):
        find_labelme(tmp_path)
    with pytest.raises(ValueError, match="no JSON there holds a shape"):
        find_labelme(tmp_path / "nothing")


def test_labels_fit_photos_as_they_are_seen(write, tmp_path):
    path = write(square(0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(path.with_suffix(".jpg"), exif=exif)  # upright 20 wide, 10 high
    assert drawn(tmp_path)[0].size == SIZE


def test_images_that_nobody_labelled_are_named(write, tmp_path):
    write(square(2, 2))
    assert find_labelme(tmp_path).notes == []
    Image.new("RGB", (20, 10)).save(tmp_path / "b.PNG")
    assert (
        f"Left out 1 images that no JSON is of, {tmp_path / 'b.PNG'} first"
        in (find_labelme(tmp_path).notes[0])
    )
