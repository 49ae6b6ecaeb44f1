import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.from_panoptic import find_panoptic
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.pngs import write_ids

IDS = np.zeros((4, 6), int)
IDS[:, :2] = 7
IDS[:2, 2:] = 70000
IDS[3, 3] = 8
"""Two things of 8 pixels each and one of 1; the rest is unlabelled."""


@pytest.fixture
def content():
    """As Datumaro writes it."""
    segments = [
        {"id": 70000, "category_id": 3, "area": 8.0, "iscrowd": 0},
        {"id": 7, "category_id": 1, "area": 12.0, "iscrowd": 0},
        {"id": 8, "category_id": 3, "area": 1.0},
        {"id": 9, "category_id": 1, "area": 5.0, "iscrowd": 0},
    ]
    return {
        "images": [{"id": 5, "file_name": "set/a.jpg", "height": 4, "width": 6}],
        "annotations": [{"image_id": 5, "file_name": "set/a.png", "segments_info": segments}],
        "categories": [
            {"id": 1, "name": "road", "supercategory": "", "isthing": 0},
            {"id": 3, "name": "car", "supercategory": "", "isthing": 0},
        ],
    }


@pytest.fixture
def find(content, tmp_path):
    """A function that finds the content beside its PNGs."""
    write_ids(tmp_path / "panoptic_default" / "set" / "a.png", IDS)

    def found(**options):
        path = tmp_path / "panoptic_default.json"
        path.write_text(json.dumps(content))
        return find_panoptic(path, **{"kinds_said": True, **options})

    return found


def draw(source):
    return source.draw(source.images[0])


def test_segments_are_those_of_the_png_in_the_order_of_the_json(find):
    source = find()
    labels = draw(source)
    stacked = stack(labels, source.categories)
    truth = np.zeros_like(IDS)
    truth[IDS == 70000] = truth[IDS == 8] = 1  # "car" is not said to be a thing here
    truth[IDS == 7] = 2
    assert (stacked.segment_map == truth).all()
    assert labels.dropped == {"segment that the JSON lists and no pixel shows": 1}
    assert labels.notes == {"Segments whose area in the JSON was not that of the PNG": 1}
    assert source.categories.colors[0] != source.categories.colors[1]
    assert (source.images[0].image_id, source.images[0].file_name) == (5, "set/a.jpg")


def test_classes_that_nobody_told_apart_are_refused(find, content):
    with pytest.raises(ValueError, match=r"several segments of .*'car'.*: name the classes.*--thi"):
        find(kinds_said=False)
    del content["categories"][0]["isthing"]
    with pytest.raises(ValueError, match=r"does not say whether \['road'\] are things: .*--things"):
        find(kinds_said=False)
    content["categories"] = [{**row, "isthing": row["id"] == 3} for row in content["categories"]]
    assert find(kinds_said=False).categories.is_thing == (False, True)


def test_an_id_that_is_listed_twice_for_one_class_is_one_segment(find, content):
    segments = content["annotations"][0]["segments_info"]
    segments.append(dict(segments[1]))
    assert len(draw(find()).regions) == 3
    segments[-1]["category_id"] = 3
    with pytest.raises(ValueError, match=r"image 5: segment 7 is of the categories 1 and 3: give"):
        find()


def test_a_crowd_stays_one(find, content):
    content["annotations"][0]["segments_info"][0]["iscrowd"] = 1
    assert [one.iscrowd for one in draw(find()).regions] == [True, False, False]


def test_the_project_among_the_classes_is_dropped_unless_a_label_is_of_it(find, content):
    content["categories"].insert(0, {"id": 0, "name": "trial", "supercategory": "none"})
    for row in content["categories"][1:]:
        row["supercategory"] = "trial"
    source = find()
    assert source.categories.names == ("road", "car")
    assert source.notes[0].startswith("Dropped the class 'trial': no label is of it")
    content["annotations"][0]["segments_info"][3]["category_id"] = 0
    assert find().categories.names == ("trial", "road", "car")


def test_images_without_annotation_are_left_out_which_is_said(find, content):
    content["images"].append({"id": 6, "file_name": "b.jpg", "height": None, "width": None})
    source = find()
    assert len(source.images) == 1
    assert source.notes == ["Left out 1 images: panoptic_default.json has no annotation of them."]


def test_an_id_that_the_json_does_not_list_is_refused(find, content):
    del content["annotations"][0]["segments_info"][0]
    with pytest.raises(ValueError, match=r"a\.png shows the ids \[70000\], which .*default\.json"):
        draw(find())


def test_a_png_of_another_size_is_refused(find, content, tmp_path):
    (tmp_path / "set").mkdir()
    Image.new("RGB", (6, 5)).save(tmp_path / "set" / "a.jpg")
    source = find(images=tmp_path)
    assert tmp_path / "set" / "a.jpg" in source.images[0].files  # else an old record would pass
    with pytest.raises(ValueError, match=r"a\.png has .* \(4, 6\), .*a\.jpg says \(5, 6\)"):
        draw(source)
    content["images"][0]["height"] = 5
    with pytest.raises(ValueError, match=r"a\.png has .* \(4, 6\), .*default\.json says \(5, 6\)"):
        draw(find())


def test_damaged_and_missing_pngs_are_named(find, tmp_path):
    source, path = find(), tmp_path / "panoptic_default" / "set" / "a.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.png cannot be read .*export it again"):
        draw(source)
    Image.new("L", (6, 4)).save(path)
    with pytest.raises(ValueError, match=r"a\.png has mode L"):
        draw(source)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.png: this PNG does not exist"):
        draw(source)
    with pytest.raises(FileNotFoundError, match=r"nowhere: this folder .*--pngs"):
        find(pngs=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.pop("annotations"), r"lacks \['annotations'\]; is it a COCO-panoptic"),
        (lambda c: c["annotations"][0].update(image_id=4), r"annotations of images \[4\]"),
        (lambda c: c["images"].append(c["images"][0]), "several images have the id 5"),
        (lambda c: c["categories"].pop(), "image 5: category 3 is not listed"),
        (lambda c: c["categories"][0].update(isthing="0"), "isthing is '0'"),
    ],
)
def test_what_cannot_be_is_refused_and_named(find, content, change, complaint):
    change(content)
    with pytest.raises(ValueError, match=rf"panoptic_default\.json: .*{complaint}"):
        find()
