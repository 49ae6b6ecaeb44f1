import numpy as np
import pytest

from kmax_deeplab.data.convert.changes import change, choose_target, parse_changes
from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.categories import Categories

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
