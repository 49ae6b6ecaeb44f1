"""Other views of an image: checked on maps that are small enough to be seen through."""

import numpy as np

from kmax_deeplab.visualize.overlays import find_boxes, outline_color, segment_titles
from kmax_deeplab.visualize.views import (
    CHOSEN,
    ScoredMask,
    draw_semantic,
    draw_things,
    enlarge,
    point_out,
)


def square(top, left, side, category=1, score=0.9):
    place = slice(top, top + side), slice(left, left + side)
    return ScoredMask(place, np.ones((side, side), bool), category, score)


def test_every_class_has_its_colour(image, categories):
    classes = np.zeros((40, 60), int)
    classes[:, 30:] = 2
    picture = draw_semantic(image, classes, categories)
    assert picture[0, 0].argmax() == 2 and picture[0, 59].argmax() == 1


def test_the_best_of_things_that_overlap_is_on_top(image, categories):
    picture = draw_things(image, [square(5, 5, 20), square(15, 15, 20)], categories)
    assert picture[24, 20].tolist() == list(outline_color(0))
    assert picture[34, 20].tolist() == list(outline_color(1))
    assert picture[2, 2].tolist() == [100, 100, 100]


def test_class_and_score_are_written_where_they_fit(categories):
    image = np.full((300, 300, 3), 100, np.uint8)
    large, small = (draw_things(image, [square(10, 10, s)], categories) for s in (250, 12))
    assert (large > 200).all(-1).any()
    assert not (small > 200).all(-1).any()


def test_a_chosen_segment_keeps_its_colours_within_a_bright_outline(image):
    panoptic = np.zeros((40, 60), int)
    panoptic[10:20, 10:20] = 7
    picture = point_out(image, panoptic, 7)
    assert (picture[10:20, 10:20] == 100).all()
    assert picture[9, 15].tolist() == list(CHOSEN)
    assert (picture[30:, 30:] < 60).all()


def test_things_are_enlarged_with_their_place():
    thing = square(2, 3, 4).enlarged(3)
    assert thing.place == (slice(6, 18), slice(9, 21))
    assert thing.mask.shape == (12, 12)
    assert enlarge(np.array([[1, 2]]), 2).tolist() == [[1, 1, 2, 2]] * 2


def test_titles_count_the_things_of_a_class(categories):
    infos = [(4, 1, True), (9, 2, True), (5, 0, False), (7, 1, True)]
    listed = [{"id": i, "category_id": c, "isthing": t} for i, c, t in infos]
    expected = {4: ("cat", "1"), 9: ("<dog>", "1"), 5: ("sky", ""), 7: ("cat", "2")}
    assert segment_titles(listed, categories) == expected


def test_boxes_are_found_for_ids_of_any_size():
    boxes = find_boxes(np.array([[0, 16_000_000], [0, 7]]))
    assert boxes[16_000_000] == (slice(0, 1), slice(1, 2))
    assert boxes[7] == (slice(1, 2), slice(1, 2))
