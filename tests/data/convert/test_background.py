import json

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.convert.changes import change, choose_target, parse_changes
from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.categories import Categories
from tests.data.convert.round_trip import Truth
from tests.scripts import exit_status, load_script

FOUND = Categories.from_json(
    [
        {"id": 1, "name": "cat", "isthing": 1},
        {"id": 4, "name": "sky", "isthing": 0},
        {"id": 2, "name": "dirt", "isthing": 1},
    ]
)


def one_row(*regions, void=None, **words):
    """Lays regions (category id, columns) on a row of six pixels; returns category ids."""
    target = choose_target(FOUND, parse_changes(**words))
    masks = [(i, np.array([[column in columns for column in range(6)]])) for i, columns in regions]
    labels = Labels((1, 6), [Region.of(i, mask) for i, mask in masks], void=void)
    made = stack(change(labels, target), target.categories, target.background)
    ids = [0, *(segment.category_id for segment in made.segments)]
    return [ids[number] for number in made.segment_map[0]], len(made.segments)


def test_what_no_label_marks_becomes_stuff_of_a_new_class():
    assert one_row((1, [0]), (4, [2]), background="ground") == ([1, 5, 4, 5, 5, 5], 3)


def test_where_every_pixel_is_marked_there_is_none_to_leave_out():
    assert one_row((1, range(6)), background="ground") == ([1] * 6, 1)


def test_it_joins_the_stuff_that_has_that_name_by_now():
    assert one_row((1, [0]), (4, [2]), background="sky") == ([1, 4, 4, 4, 4, 4], 2)
    words = {"rename": ["sky=ground"], "background": "ground"}
    assert one_row((1, [0]), (4, [2]), **words) == ([1, 4, 4, 4, 4, 4], 2)


def test_void_pixels_and_those_of_ignored_classes_stay_unlabelled():
    void = np.array([[0, 0, 0, 0, 1, 1]]) > 0
    regions = ((1, [0, 4]), (2, [1, 0]))
    made = one_row(*regions, void=void, ignored=["dirt"], background="ground")
    assert made == ([1, 0, 5, 5, 1, 0], 2)


def test_a_thing_cannot_be_the_background():
    with pytest.raises(ValueError, match="--background cat: it is a thing"):
        one_row(background="cat")
    assert one_row(background="cat", things=["dirt"]) == ([1] * 6, 1)


def test_what_a_semantic_png_calls_unlabelled_is_no_background(tmp_path):
    (tmp_path / "semantic").mkdir()
    values = np.array([[7, 7, 3, 255]], np.uint8)  # road twice, a cat that has no mask, void
    Image.fromarray(values).save(tmp_path / "semantic/a.png")
    (tmp_path / "classes.tsv").write_text("id\tname\tisthing\n7\troad\t0\n")
    images = [{"id": 1, "file_name": "a.jpg", "height": 1, "width": 4}]
    content = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    words = [f"--json={tmp_path / 'instances.json'}", f"--semantic={tmp_path / 'semantic'}"]
    words += [f"--classes={tmp_path / 'classes.tsv'}", "--background=rest"]
    main = load_script("datasets/convert.py").main
    assert exit_status(main, "detection", *words, f"--output={tmp_path / 'out'}") == 0
    (picture,) = Truth(tmp_path / "out").pictures()
    assert [picture.classes.get(i) for i in picture.ids[0]] == ["road", "road", "rest", None]
