import numpy as np
import pytest

from kmax_deeplab.visualize.contact_sheet import CELL, GAP, contact_sheet


def picture(height, width, value):
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_pictures_of_any_shape_are_fitted_into_rows_of_cells():
    pictures = [("a", picture(10, 40, 200)), ("b", picture(900, 30, 100)), ("c", picture(3, 4, 50))]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape[1] == 2 * (CELL[0] + GAP) + GAP
    middle = GAP + CELL[1] // 2
    assert (sheet[middle, GAP + CELL[0] // 2] == 200).all()
    assert (sheet[middle, 2 * GAP + CELL[0] + CELL[0] // 2] == 100).all()
    assert (sheet[GAP, GAP] != 200).all()  # above a wide picture there is background


def test_a_long_caption_keeps_its_end_within_the_cell():
    sheet = contact_sheet([("folder/" * 40 + "image.png", picture(30, 40, 0))])
    caption = sheet[GAP + CELL[1] + 1 :]
    assert (caption > 150).any()
    assert not (caption[:, GAP + CELL[0] :] > 150).any()


def test_a_sheet_without_pictures_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
