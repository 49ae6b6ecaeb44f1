import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.from_label_studio import find_label_studio
from kmax_deeplab.data.convert.label_studio_masks import decode_bitmask, decode_brush
from kmax_deeplab.data.convert.label_studio_tasks import choose_annotation, find_place, list_places
from tests.data.convert.writers_label_studio import brush_result, encode_bitmask, encode_brush

SIZE = 8, 10
MASK = np.zeros(SIZE, bool)
MASK[2:5, 3:9] = True
HEAD = f"{8:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
"""8 values of 8 bits; lengths of runs have 3, 4, 8 or 16 bits."""
RUNS = "0 00 011 00000111 00001001 00001011 00000000 1 00 011 11111111"
"""Two pixels as a browser packs them: (7, 9, 11, 0) as they are; then 255, four times."""
BITS = (HEAD + RUNS).replace(" ", "")
PACKED = list(int(BITS.ljust(112, "0"), 2).to_bytes(14, "big"))


def region(kind, value, label="cell", **fields):
    size = {"original_width": 10, "original_height": 8, "image_rotation": 0}
    named = {f"{kind}labels": [label]} if label else {}
    return {"type": f"{kind}labels", **size, "value": {**value, **named}, **fields}


POLYGON = region("polygon", {"points": [[30, 25], [90, 25], [90, 62.5], [30, 62.5]]}, "rod")
"""MASK in percent."""


def task(*results, number=1, image="/data/upload/3/0a1b2c3d-a.png", **fields):
    annotation = {"id": 1, "was_cancelled": False, "result": list(results), **fields}
    return {"id": number, "data": {"image": image}, "annotations": [annotation]}


@pytest.fixture
def find(tmp_path):
    """A function that finds tasks beside images/a.png."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (10, 8)).save(tmp_path / "images" / "a.png")

    def found(*tasks, **options):
        path = tmp_path / "project.json"
        path.write_text(json.dumps(tasks))
        return find_label_studio(path, tmp_path / "images", **options)

    return found


def draw(source):
    (image,) = source.images
    return source.draw(image)


def whole(region):
    mask = np.zeros(SIZE, bool)
    mask[region.box] = region.mask
    return mask


def test_brushes_bitmasks_polygons_and_ellipses_become_regions(find):
    ellipse = region("ellipse", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 12.5, "rotation": 0})
    results = (brush_result(MASK, "cell"), brush_result(MASK, "cell", as_bitmask=True), POLYGON)
    source = find(task(*results, ellipse))
    assert list(source.categories.rows()) == [(1, "cell", True), (2, "rod", True)]
    labels = draw(source)
    assert [one.category_id for one in labels.regions] == [1, 1, 2, 1]
    assert all((whole(one) == MASK).all() for one in labels.regions[:3])
    rows, columns = np.nonzero(whole(labels.regions[3]))
    # Centre (5, 4), radii 2 and 1: where a row's centre is 0.5 off, columns up to 1.73 off are in.
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (row, column) for row in (3, 4) for column in (3, 4, 5, 6)
    ]
    assert (source.images[0].file_name, source.images[0].image_id) == ("a.png", "a")


def test_bytes_that_a_browser_packs_are_read_as_its_alpha():
    assert decode_brush(bytes(PACKED), (1, 2)).tolist() == [[False, True]]
    assert decode_brush(bytes(PACKED), (2, 1)).tolist() == [[False], [True]]


def test_long_runs_and_short_ones_come_back():
    rng = np.random.default_rng(0)
    for mask in (rng.random((13, 29)) < 0.4, np.ones((150, 200), bool), np.zeros((3, 3), bool)):
        assert (decode_brush(bytes(encode_brush(mask)), mask.shape) == mask).all()
        assert (decode_bitmask(encode_bitmask(mask), mask.shape) == mask).all()


def test_a_brush_and_its_label_may_be_two_results_of_one_id(find):
    brush = {**brush_result(MASK, "cell"), "type": "brush", "id": "x"}
    del brush["value"]["brushlabels"]
    label = {"type": "labels", "id": "x", "value": {"labels": ["rod"]}}
    source = find(task(brush, label))
    assert source.categories.names == ("rod",)
    assert len(draw(source).regions) == 1


def test_what_marks_no_region_is_dropped_and_counted(find):
    results = [
        POLYGON,
        region("rectangle", {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0}),
        region("keypoint", {"x": 1, "y": 1, "width": 1}),
        region("polygon", {"points": [[1, 1], [5, 5]]}),
        region("polygon", {"points": [[1, 1], [9, 9], [1, 9]], "closed": False}),
        region("polygon", {"points": [[1, 1], [9, 9], [1, 9]]}, None),
        brush_result(np.zeros(SIZE, bool), "cell"),
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
    ]
    labels = draw(find(task(*results)))
    assert len(labels.regions) == 1
    assert labels.dropped == {
        "rectangle, which outlines no object": 1,
        "key point, which outlines no object": 1,
        "polygon that is not closed or has fewer than three corners": 2,
        "polygon without a class": 1,
        "brush without a pixel": 1,
        "choices, which marks no region": 1,
        "relation, which marks no region": 1,
    }


def test_the_last_annotation_that_nobody_cancelled_counts():
    ages = ("2026-01-02", "2026-01-03", "2026-01-01")
    old = [{"updated_at": age, "result": [], "id": number} for number, age in enumerate(ages)]
    skipped = {"was_cancelled": True, "result": [], "updated_at": "2026-02-01"}
    assert choose_annotation([*old, skipped]) == (old[1], 2)
    truth = {"updated_at": "2020", "result": [], "ground_truth": True}
    assert choose_annotation([*old, truth]) == (truth, 3)
    assert choose_annotation([skipped]) == (None, 0)


def test_tasks_without_labels_are_left_out_which_is_said(find):
    empty = {"id": 2, "data": {"image": "b.png"}, "annotations": []}
    source = find(task(POLYGON), empty, task(POLYGON, number=3, was_cancelled=True))
    assert len(source.images) == 1
    assert source.notes == ["Left out 2 tasks: nobody labelled them, or whoever did cancelled."]


@pytest.mark.parametrize(
    "place",
    [
        "/data/upload/3/0a1b2c3d-a.png",
        "/data/local-files/?d=set%201/a.png",
        "https://host/bucket/a.png?token=x",
        "s3://bucket/set/a.png",
        r"C:\images\a.png",
        "a.png",
    ],
)
def test_an_image_is_found_by_the_end_of_its_place(find, place):
    assert find(task(POLYGON, image=place)).images[0].file_name == "a.png"


def test_an_image_in_a_subfolder_is_found_by_its_name_unless_there_are_two(find, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / "images" / folder).mkdir()
        Image.new("RGB", (10, 8)).save(tmp_path / "images" / folder / "b.png")
    assert find(task(POLYGON, image="y/b.png")).images[0].file_name == "y/b.png"
    with pytest.raises(ValueError, match=r"task 1: .*x/b\.png and .*y/b\.png may both be 'z/b"):
        find(task(POLYGON, image="z/b.png"))


def test_the_field_that_names_the_image_is_found_or_asked_for():
    assert find_place({"data": {"photo": "a.JPG", "author": "x.y"}}, None, "t") == "a.JPG"
    assert find_place({"data": {"image": "a", "mask": "b.png"}}, None, "t") == "a"
    two = {"data": {"left": "a.png", "right": "b.png"}}
    assert find_place(two, "right", "t") == "b.png"
    with pytest.raises(ValueError, match=r"t: .*may name its image: say which with --image-field"):
        find_place(two, None, "t")
    assert list_places("0a1b2c3d-a.png") == ["0a1b2c3d-a.png", "a.png"]


def test_classes_are_in_the_order_that_somebody_gives(find):
    source = find(task(POLYGON), names=["sky", "rod"])
    assert list(source.categories.rows()) == [(1, "sky", True), (2, "rod", True)]
    assert draw(source).regions[0].category_id == 2
    with pytest.raises(ValueError, match=r"classes \['rod'\], which --labels does not list"):
        find(task(POLYGON), names=["sky"])


@pytest.mark.parametrize(
    ("tasks", "complaint"),
    [
        ([{"image": "a.png", "tag": []}], r"project\.json: task 0 has no list of annotations"),
        ([task(POLYGON), task(POLYGON, number=2)], r"task 1 and .*task 2 are both of .*a\.png"),
        ([task(POLYGON, image="c.png")], r"task 1: .*images holds no image 'c\.png'"),
        ([task({**POLYGON, "item_index": 1})], "task 1 shows several images"),
        ([task(region("brush", {"rle": [1, 999]}))], "task 1, region number 0: its run lengths"),
        ([task(region("brush", {}, 7))], r"region number 0: its classes are \[\[7\]\], no lists"),
        ([task()], "no region of a class"),
        ([], "not the list of tasks"),
    ],
)
def test_tasks_that_cannot_be_are_named(find, tasks, complaint):
    with pytest.raises((ValueError, FileNotFoundError), match=complaint):
        find(*tasks)


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({**POLYGON, "original_width": 20}, r"\(8, 20\), but .*a\.png has \(8, 10\)"),
        (region("polygon", {"points": [[1, 2], [3, float("nan")], [4, 4]]}), "polygon is damaged"),
        (region("polygon", {"points": [[1, 2], [3], [4, 4]]}), "polygon is damaged"),
        (region("polygon", {"points": 7}), "polygon is damaged"),
        (region("bitmask", {"imageDataURL": 7}), "its bitmask is 7, not the URL"),
        (region("ellipse", {"x": 1, "radiusX": 2}), "ellipse is damaged: 'y'"),
        (region("brush", {"rle": PACKED}), "hold 8 values of 8 bits.* has 320 of 8"),
        (region("brush", {"rle": encode_brush(MASK)[:-4]}), "run lengths end too early"),
        (region("bitmask", {"imageDataURL": "data:image/png;base64,AAAA"}), "cannot be read"),
        (region("bitmask", {"imageDataURL": encode_bitmask(MASK[:4])}), r"width\) \(4, 10\)"),
    ],
)
def test_damaged_regions_are_named_when_they_are_drawn(find, result, complaint):
    with pytest.raises(ValueError, match=f"task 1, region number 0.*{complaint}"):
        draw(find(task(result)))
