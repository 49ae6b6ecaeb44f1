import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from kmax_deeplab.data.convert.from_detection import find_detection, join_categories
from kmax_deeplab.data.convert.masks import decode_mask
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.categories import Categories

STUFF = Categories.from_json([{"id": 90, "name": "sky", "isthing": 0}])
LARGE = [0, 0, 6, 0, 6, 4, 0, 4]
SMALL = [2, 1, 4, 1, 4, 3, 2, 3]
"""Polygons of 6 x 4 and 2 x 2 pixels."""


def runs(mask):
    """Encodes a mask as uncompressed run lengths, column by column."""
    flat = np.asarray(mask, dtype=np.uint8).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(np.shape(mask)), "counts": counts if flat[0] == 0 else [0, *counts]}


@pytest.fixture
def content():
    return {
        "images": [{"id": 4, "file_name": "part/a.jpg", "height": 6, "width": 8}],
        "annotations": [
            {"id": 11, "image_id": 4, "category_id": 3, "segmentation": [SMALL]},
            {"id": 10, "image_id": 4, "category_id": 5, "segmentation": [LARGE], "iscrowd": 0},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog", "color": [1, 2, 3]}],
    }


@pytest.fixture
def draw(content, tmp_path):
    """A function that draws the one image of the content and stacks its regions."""

    def drawn(semantic=None, **options):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        stuff = STUFF if semantic else None
        source = find_detection(path, semantic=semantic, stuff=stuff, **options)
        return stack(source.draw(source.images[0]), source.categories)

    return drawn


def test_the_smaller_of_two_overlapping_masks_is_on_top(draw):
    drawn = draw()
    assert [segment.category_id for segment in drawn.segments] == [5, 3]
    assert (drawn.segment_map == 2).sum() == 4
    assert (drawn.segment_map == 1).sum() == 6 * 4 - 4
    assert drawn.segment_map[5, 7] == 0
    assert drawn.contested == 4


def test_of_equal_masks_the_later_annotation_is_on_top(content, draw):
    for annotation in content["annotations"]:
        annotation["segmentation"] = [LARGE]
    drawn = draw()
    assert drawn.segments[drawn.segment_map.max() - 1].category_id == 3
    assert set(np.unique(drawn.segment_map)) == {0, 2}


def test_crowds_are_kept_below_things_however_small(content, draw):
    content["annotations"][0]["iscrowd"] = 1
    drawn = draw()
    assert [segment.iscrowd for segment in drawn.segments] == [False, True]
    assert set(np.unique(drawn.segment_map)) == {0, 1}


def test_polygons_and_both_kinds_of_run_lengths_agree():
    mask = decode_mask([SMALL], (6, 8))
    compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert mask.sum() == 4
    assert (decode_mask(runs(mask), (6, 8)) == mask).all()
    assert (decode_mask(compressed, (6, 8)) == mask).all()
    assert not decode_mask([], (6, 8)).any()


def test_stuff_lies_below_the_things(content, draw, tmp_path):
    folder = tmp_path / "semantic" / "part"
    folder.mkdir(parents=True)
    labels = np.full((6, 8), 90, np.uint8)
    labels[5] = 255
    labels[4] = 3  # a thing: left to the masks
    Image.fromarray(labels).save(folder / "a.png")
    drawn = draw(tmp_path / "semantic", ignore=[255])
    assert [segment.category_id for segment in drawn.segments] == [90, 5, 3]
    assert drawn.segment_map[3, 7] == 1
    assert not drawn.segment_map[4:].any()
    with pytest.raises(ValueError, match=r"a\.png has the values \[255\].*--ignore"):
        draw(tmp_path / "semantic")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.pop("categories"), r"lacks \['categories'\]"),
        (lambda c: c["annotations"][0].pop("segmentation"), r"annotations\[0\] lacks"),
        (lambda c: c["annotations"][0].update(image_id=9), "annotation 11 is of image 9"),
        (lambda c: c["annotations"][0].update(category_id=9), "category 9"),
        (lambda c: c["annotations"][0].update(segmentation="x"), r"annotation 11 of part/a\.jpg"),
        (
            lambda c: c["annotations"][0].update(segmentation=runs(np.ones((2, 2)))),
            r"its mask is \[2, 2\], its image \[6, 8\]",
        ),
        (lambda c: c["annotations"][0].update(iscrowd="0"), "iscrowd is '0', it must be 0 or 1"),
        (lambda c: c["images"][0].update(height="6"), "height is '6', it must be a whole number"),
        (lambda c: c["images"][0].update(file_name="../a.jpg"), "'../a.jpg' leads out of"),
        (lambda c: c["categories"][0].update(name=3), "name is 3, it must be a text"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5]]), "a polygon is a"),
        (lambda c: c["annotations"][0].update(segmentation=[[[1, 2], [3, 4]]]), "no number"),
        (
            lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, float("nan"), 5, 6]]),
            "no number",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 1e12, 5, 6]]),
            r"a polygon has a corner at 1e\+12, far outside of its image",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_named(content, draw, change, complaint):
    change(content)
    with pytest.raises(ValueError, match=complaint):
        draw()


def test_an_image_of_another_size_or_none_is_named_where_the_folder_is_known(draw, tmp_path):
    image = tmp_path / "part/a.jpg"
    with pytest.raises(FileNotFoundError, match=r"part/a\.jpg: this image does not exist"):
        draw(images=tmp_path)
    image.parent.mkdir()
    Image.new("RGB", (6, 8)).save(image)
    with pytest.raises(ValueError, match=r"a\.jpg has .* \(8, 6\).*the JSON says \(6, 8\)"):
        draw(images=tmp_path)
    Image.new("RGB", (8, 6)).save(image)
    assert len(draw(images=tmp_path).segments) == 2


@pytest.mark.parametrize("change", [-9, 9])
def test_run_lengths_that_do_not_cover_the_image_are_refused(change):
    size = (480, 640)
    mask = np.zeros(size, bool)
    mask[100:300, 50:400] = mask[310:, 500:] = True
    plain = runs(mask)
    plain["counts"][-1] += change
    compressed = coco_mask.frPyObjects(plain, *size)
    for broken in (plain, compressed, {**compressed, "counts": compressed["counts"].decode()}):
        with pytest.raises(ValueError, match=f"cover {480 * 640 + change} pixels"):
            decode_mask(broken, size)


@pytest.mark.parametrize("counts", ["0Q", "~", [2.5, 45.5], [-1, 49], None])
def test_run_lengths_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths"):
        decode_mask({"size": [6, 8], "counts": counts}, (6, 8))


def test_compressed_run_lengths_are_those_of_the_official_tool():
    rng = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99):
        mask = rng.random((37, 53)) < share
        mask[:, 20:40] = share > 0.3
        coded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert (decode_mask(coded, (37, 53)) == mask).all()


def test_a_table_with_another_thing_is_refused():
    things = Categories.from_json([{"id": 3, "name": "cat", "isthing": 1}])
    table = Categories.from_json([{"id": 3, "name": "dog", "isthing": 1}])
    with pytest.raises(ValueError, match="the thing 3 'dog'"):
        join_categories(things, table)


def test_the_project_that_roboflow_lists_among_the_classes_is_dropped(content, tmp_path):
    root = {"id": 0, "name": "pets-x1", "supercategory": "none"}
    content["categories"] = [
        root,
        *({**row, "supercategory": "pets-x1"} for row in content["categories"]),
        {"id": 9, "name": "bird", "supercategory": "pets-x1"},
    ]
    path = tmp_path / "_annotations.coco.json"
    path.write_text(json.dumps(content))
    source = find_detection(path)
    assert source.categories.names == ("cat", "dog", "bird")
    assert source.notes[0].startswith("Dropped the class 'pets-x1': no label is of it")
    content["annotations"][0]["category_id"] = 0
    path.write_text(json.dumps(content))
    assert find_detection(path).categories.names == ("pets-x1", "cat", "dog", "bird")
    assert find_detection(path).notes == []
