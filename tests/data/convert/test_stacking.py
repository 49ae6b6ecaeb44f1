import numpy as np

from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.writer import DrawnSegment

CATEGORIES = Categories.from_json(
    [{"id": 1, "name": "sky", "isthing": 0}, {"id": 7, "name": "cat", "isthing": 1}]
)


def region(category_id, row, **options):
    """Marks the columns of a single row that have an x."""
    mask = np.array([[letter == "x" for letter in row]])
    return Region.of(category_id, mask, **options)


def stacked(*regions):
    return stack(Labels((1, 6), regions), CATEGORIES)


def test_a_region_is_cut_to_its_box():
    mask = np.zeros((5, 6), bool)
    mask[2, 3:5] = True
    one = Region.of(7, mask)
    assert (one.top, one.left, one.mask.tolist()) == (2, 3, [[True, True]])
    assert Region.of(7, mask & False).mask.size == 0


def test_stuff_lies_below_crowds_and_crowds_below_things():
    made = stacked(region(7, "xx...."), region(7, ".xx...", iscrowd=True), region(1, "xxxxx."))
    assert made.segment_map.tolist() == [[1, 1, 2, 3, 3, 0]]
    assert made.segments == [DrawnSegment(7), DrawnSegment(7, True), DrawnSegment(1)]
    assert made.contested == 0


def test_the_smaller_thing_is_on_top_and_of_equal_ones_the_later():
    made = stacked(region(7, ".xx..."), region(7, "xxxx.."), region(7, "..xx.."))
    assert made.segment_map.tolist() == [[2, 1, 3, 3, 0, 0]]
    assert made.contested == 4  # two pixels of the large one, then two of the three


def test_a_higher_layer_of_a_tool_is_on_top_among_regions_of_one_kind():
    made = stacked(
        region(7, "xxxx..", layer=1), region(7, "xx....", layer=0), region(1, "xxxxxx", layer=2)
    )
    assert made.segment_map.tolist() == [[1, 1, 1, 1, 3, 3]]


def test_all_stuff_of_a_class_is_one_segment():
    made = stacked(region(1, "x....."), region(7, ".x...."), region(1, "....xx"))
    assert made.segment_map.tolist() == [[1, 2, 0, 0, 1, 1]]
    assert len(made.segments) == 2
