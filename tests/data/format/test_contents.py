import copy
import json

import pytest

from kmax_deeplab.data.format.contents import leaves_folder, read_json, read_panoptic

CONTENT = {
    "images": [{"id": 1, "file_name": "a/b.jpg", "height": 6, "width": 8}],
    "annotations": [
        {
            "image_id": 1,
            "file_name": "a/b.png",
            "segments_info": [{"id": 5, "category_id": 3, "iscrowd": 0, "area": "any"}],
        }
    ],
    "categories": [{"id": 3, "name": "cat", "isthing": 1}],
}


def read(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(content), encoding=encoding)
    return read_panoptic(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_json_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    assert read(tmp_path, CONTENT, encoding) == CONTENT


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("images",), None, "'images' is a NoneType, not a list"),
        (("annotations", 0), [], r"annotations\[0\] is \[\], not an object"),
        (("images", 0, "id"), [1], r"images\[0\]: id is \[1\], it must be a whole number or a"),
        (("images", 0, "id"), True, "id is True"),
        (("images", 0, "file_name"), 7, "file_name is 7, it must be a text"),
        (("images", 0, "height"), "6", "height is '6', it must be a whole number of pixels"),
        (("images", 0, "width"), 0, "width is 0"),
        (("annotations", 0, "segments_info"), None, "segments_info is None, it must be a list"),
        (("annotations", 0, "image_id"), 1.5, "image_id is 1.5"),
        (
            ("annotations", 0, "segments_info", 0, "iscrowd"),
            "0",
            r"annotations\[0\].segments_info\[0\]: iscrowd is '0', it must be 0 or 1",
        ),
        (("annotations", 0, "segments_info", 0, "id"), "5", "id is '5', it must be a whole"),
        (("annotations", 0, "segments_info", 0), 5, r"segments_info\[0\] is 5, not an object"),
        (("categories", 0, "isthing"), "0", "isthing is '0', it must be 0 or 1"),
        (("categories", 0, "isthing"), 2, "isthing is 2"),
        (("categories", 0, "name"), None, "name is None, it must be a text"),
        (("categories", 0, "id"), "3", "id is '3', it must be a whole number"),
        (("images", 0, "file_name"), "/etc/passwd", "'/etc/passwd' leads out of the folder"),
        (("annotations", 0, "file_name"), "../b.png", r"'../b.png' leads out of the folder"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_its_place(tmp_path, place, value, complaint):
    content = copy.deepcopy(CONTENT)
    entry = content
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = value
    with pytest.raises(ValueError, match=rf"panoptic\.json: .*{complaint}"):
        read(tmp_path, content)


def test_what_is_said_of_areas_does_not_matter(tmp_path):
    content = copy.deepcopy(CONTENT)
    for area in (None, "12", [], -3):
        content["annotations"][0]["segments_info"][0].update(area=area, bbox=area)
        assert read(tmp_path, content) == content


def test_many_faults_are_counted(tmp_path):
    content = {**CONTENT, "images": [None] * 9}
    with pytest.raises(ValueError, match="and 4 more"):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "..\\a", "C:\\a", "\\\\host\\a", ".."])
def test_names_that_lead_out_of_their_folder_are_known(name):
    assert leaves_folder(name)


@pytest.mark.parametrize("name", ["a", "a/b.jpg", "a/../b.jpg", "..a", "a..b/c", "./a"])
def test_names_that_stay_in_their_folder_are_known(name):
    assert not leaves_folder(name)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "x.json"
    for content in (b"", b"{", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path}: not a JSON file"):
            read_json(path)


@pytest.mark.parametrize(
    ("key", "change", "complaint"),
    [
        ("images", {"file_name": "c.jpg"}, "several images have the id 1"),
        ("images", {"id": 2}, "several images have the file_name 'a/b.jpg'"),
        (
            "images",
            {"id": 2, "file_name": "a/./b.jpg"},
            "several images have the file_name 'a/b.jp",
        ),
        ("annotations", {"file_name": "c.png"}, "several annotations have the image_id 1"),
        ("annotations", {"image_id": 2}, "several annotations have the file_name 'a/b.png'"),
        (
            "annotations",
            {"image_id": 2, "file_name": "a/../a/b.png"},
            "annotations have the file_n",
        ),
        ("categories", {"id": 4}, r"the categories \[3, 4\] are all named 'cat'"),
    ],
)
def test_what_is_listed_twice_is_named(tmp_path, key, change, complaint):
    content = copy.deepcopy(CONTENT)
    content[key].append({**content[key][0], **change})
    with pytest.raises(ValueError, match=rf"panoptic\.json: .*{complaint}"):
        read(tmp_path, content)


def test_a_segment_id_that_occurs_twice_in_an_image_is_named(tmp_path):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["segments_info"] *= 2
    with pytest.raises(ValueError, match=r"image 1 \(a/b.png\): several segments have the id 5"):
        read(tmp_path, content)
