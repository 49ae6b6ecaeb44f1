import pytest

from kmax_deeplab.data.categories import Categories

LISTED = [
    {"id": 17, "name": "cat", "isthing": 1, "color": [1, 2, 3]},
    {"id": 5, "name": "sky", "isthing": 0},
    {"id": 90, "name": "dog", "isthing": 1},
]


def test_class_indices_are_positions_in_the_list():
    categories = Categories.from_json(LISTED)
    assert len(categories) == 3
    assert categories.contiguous == {17: 0, 5: 1, 90: 2}
    assert categories.names == ("cat", "sky", "dog")
    assert categories.is_thing == (True, False, True)


def test_given_colors_are_kept_and_missing_ones_are_distinct():
    colors = Categories.from_json(LISTED).colors
    assert colors[0] == (1, 2, 3)
    assert len(set(colors)) == 3
    assert all(0 <= channel <= 255 for color in colors for channel in color)


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        ([], "empty"),
        ([{"id": 1, "name": "cat"}], "isthing"),
        ([LISTED[0], LISTED[0]], r"\[17\]"),
    ],
)
def test_a_list_that_cannot_be_is_refused(listed, complaint):
    with pytest.raises(ValueError, match=complaint):
        Categories.from_json(listed)
