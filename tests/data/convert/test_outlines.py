import numpy as np
import pytest

from kmax_deeplab.data.convert.outlines import draw_ellipse, draw_polygon

SIZE = 30, 40


def test_a_polygon_on_the_grid_marks_the_pixels_inside():
    mask = draw_polygon([(2, 1), (5, 1), (5, 3), (2, 3)], SIZE)
    assert np.argwhere(mask).tolist() == [[r, c] for r in (1, 2) for c in (2, 3, 4)]
    assert not draw_polygon([(2, 1), (5, 1)], SIZE).any()


def test_an_ellipse_marks_the_pixels_whose_centres_lie_inside():
    mask = draw_ellipse((20, 15), (12, 5), SIZE)
    rows, columns = np.indices(SIZE) + 0.5
    assert (mask == (((columns - 20) / 12) ** 2 + ((rows - 15) / 5) ** 2 <= 1)).all()
    assert (draw_ellipse((20, 15), (5, 12), SIZE, 90) == mask).all()
    assert not draw_ellipse((20, 15), (0, 5), SIZE).any()
    with pytest.raises(ValueError, match="an ellipse at"):
        draw_ellipse((20, float("nan")), (5, 5), SIZE)


def test_an_ellipse_turns_clockwise_and_may_leave_the_image():
    mask = draw_ellipse((20, 15), (14, 2), SIZE, 30)
    assert mask[20, 29] and not mask[10, 29]  # right of the centre it goes down
    assert draw_ellipse((0, 0), (10, 10), SIZE).sum() == pytest.approx(np.pi * 100 / 4, rel=0.05)
