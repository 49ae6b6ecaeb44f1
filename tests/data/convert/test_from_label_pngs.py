from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.changes import change, choose_target, parse_changes
from kmax_deeplab.data.convert.from_label_pngs import (
    LabelFolders,
    find_label_pngs,
    find_regions,
    match_folders,
)
from kmax_deeplab.data.convert.labels import Labels
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.writer import DrawnSegment

CLASSES = Categories.from_json(
    [
        {"id": 0, "name": "road", "isthing": 0},
        {"id": 26, "name": "car", "isthing": 1},
        {"id": 8, "name": "tree", "isthing": 0},
    ]
)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Two images of 2 x 3 pixels; the second lies in a subfolder."""
    for name in ("a", "town/b"):
        save(tmp_path / f"images/{name}.png", np.zeros((2, 3, 3), np.uint8))
        save(tmp_path / f"semantic/{name}_labels.png", np.full((2, 3), 26, np.uint8))
        save(tmp_path / f"instances/{name}.png", np.array([[0, 1, 1], [1, 1, 300]], np.uint16))
    places = (tmp_path / part for part in ("images", "semantic", "instances"))
    return LabelFolders(*places, semantic_ending="_labels")


def draw(folders, ignore=(255,)):
    source = find_label_pngs(folders, CLASSES, ignore)
    return [stack(source.draw(image), CLASSES) for image in source.images]


def draw_segments(semantic, instances, ignore=(), **words):
    labels = Labels(semantic.shape, find_regions(semantic, instances, CLASSES, ignore))
    target = choose_target(CLASSES, parse_changes(**words))
    stacked = stack(change(labels, target), target.categories)
    return stacked.segment_map, stacked.segments


def test_stuff_is_one_segment_a_class_and_things_one_an_instance():
    semantic = np.array([[0, 0, 26, 26], [8, 0, 26, 255]])
    instances = np.array([[5, 6, 2, 9], [0, 0, 2, 9]])
    segment_map, segments = draw_segments(semantic, instances, ignore=[255])
    assert segment_map.tolist() == [[1, 1, 2, 3], [4, 1, 2, 0]]
    assert [segment.category_id for segment in segments] == [0, 26, 26, 8]
    assert not any(segment.iscrowd for segment in segments)


def test_things_without_instance_id_become_one_crowd():
    segment_map, segments = draw_segments(np.full((1, 3), 26), np.array([[0, 4, 0]]))
    assert segment_map.tolist() == [[1, 2, 1]]
    assert segments == [DrawnSegment(26, iscrowd=True), DrawnSegment(26)]


def test_stuff_that_becomes_a_thing_has_its_instances():
    semantic, instances = np.array([[8, 8, 8, 26]]), np.array([[3, 0, 5, 1]])
    segment_map, segments = draw_segments(semantic, instances, things=["tree"])
    assert segment_map.tolist() == [[3, 2, 4, 1]]
    assert segments == [DrawnSegment(26), DrawnSegment(8, True), DrawnSegment(8), DrawnSegment(8)]


def test_an_image_without_a_label_has_no_segment():
    segment_map, segments = draw_segments(np.full((2, 2), 255), np.zeros((2, 2)), [255])
    assert not segment_map.any()
    assert segments == []


def test_files_are_matched_by_name_in_subfolders(folders):
    images = find_label_pngs(folders, CLASSES, [255]).images
    assert [(image.image_id, image.file_name) for image in images] == [
        ("a", "a.png"),
        ("town/b", "town/b.png"),
    ]
    assert draw(folders)[0].segment_map.tolist() == [[1, 2, 2], [2, 2, 3]]


def test_colours_count_as_numbers(folders):
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0] = (1, 2, 0)
    save(folders.instances / "a.png", colours)
    assert draw(folders)[0].segment_map.tolist() == [[2, 1, 1], [1, 1, 1]]


def test_an_unknown_value_is_refused_with_file_and_remedy(folders):
    path = save(folders.semantic / "a_labels.png", np.full((2, 3), 99, np.uint8))
    with pytest.raises(ValueError, match=rf"{path}: has the values \[99\].*--ignore"):
        draw(folders)
    assert len(draw(folders, ignore=[99])) == 2


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ("images/a.png", r"instances/a\.png belongs to no image"),
        ("instances/town/b.png", r"images/town/b\.png has no label image town/b"),
    ],
)
def test_a_file_without_partner_is_named(folders, part, complaint):
    Path(folders.images.parent, part).unlink()
    with pytest.raises(ValueError, match=complaint):
        draw(folders)


def test_sizes_that_differ_are_refused_with_both_files(folders):
    path = save(folders.instances / "a.png", np.zeros((2, 4), np.uint8))
    with pytest.raises(ValueError, match=rf"a_labels.png has .*\(2, 3\), {path} has \(2, 4\)"):
        draw(folders)


def test_things_need_instances(folders):
    without = LabelFolders(folders.images, folders.semantic, None, "_labels")
    with pytest.raises(ValueError, match=r"\['car'\] are things: give .*--instances"):
        match_folders(without, CLASSES)


def test_a_damaged_label_image_is_named(folders):
    path = folders.semantic / "a_labels.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"{path} cannot be read"):
        draw(folders)


def test_two_images_of_one_name_are_refused(folders):
    save(folders.images / "a.jpg", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg and .*a\.png have one name"):
        draw(folders)
