import json

import numpy as np
import pytest

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.data.format.writer import DrawnImage, DrawnSegment, write_dataset

CATEGORIES = Categories.from_json([{"id": 9, "name": "cat", "isthing": 1, "color": [1, 2, 3]}])


def drawn(file_name="part/a.jpg", png_name="part/a.png"):
    segment_map = np.array([[0, 1, 1], [0, 1, 3]])
    segments = [DrawnSegment(9), DrawnSegment(9), DrawnSegment(9, iscrowd=True)]
    return DrawnImage("a", file_name, png_name, segment_map, segments)


def test_a_dataset_holds_maps_areas_and_boxes_and_no_covered_segment(tmp_path):
    folder = tmp_path / "new" / "set"
    written = write_dataset(folder, [drawn()], CATEGORIES)
    assert (written.images, written.left_out) == (1, 1)
    content = json.loads((folder / "panoptic.json").read_text())
    assert content["images"] == [{"id": "a", "file_name": "part/a.jpg", "height": 2, "width": 3}]
    assert content["annotations"][0]["segments_info"] == [
        {"id": 1, "category_id": 9, "iscrowd": 0, "area": 3, "bbox": [1, 0, 2, 2]},
        {"id": 3, "category_id": 9, "iscrowd": 1, "area": 1, "bbox": [2, 1, 1, 1]},
    ]
    assert content["categories"] == [{"id": 9, "name": "cat", "isthing": 1, "color": [1, 2, 3]}]
    assert (read_ids(folder / "panoptic/part/a.png") == drawn().segment_map).all()


def test_an_interrupted_run_leaves_no_dataset_and_can_be_repeated(tmp_path):
    def interrupted():
        yield drawn()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", interrupted(), CATEGORIES)
    assert not (tmp_path / "set").exists()
    write_dataset(tmp_path / "set", [drawn()], CATEGORIES)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_with_files_is_never_written_to(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"is not empty.*--output"):
        write_dataset(tmp_path, [drawn()], CATEGORIES)


def test_two_images_with_one_png_are_refused(tmp_path):
    images = [drawn(), drawn(file_name="part/a.png")]
    with pytest.raises(ValueError, match=r"part/a\.jpg and part/a\.png both get part/a\.png"):
        write_dataset(tmp_path / "set", images, CATEGORIES)
