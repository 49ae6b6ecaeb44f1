import json

import pytest

from kmax_deeplab.data.categories import Categories, read_categories

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


def test_a_colour_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"category 17 \('cat'\) has the color \[0, 0, 300\]"):
        Categories.from_json([{**LISTED[0], "color": [0, 0, 300]}])


def test_categories_survive_the_way_to_json_and_back():
    categories = Categories.from_json(LISTED)
    assert Categories.from_json(categories.to_json()) == categories


def test_a_table_a_list_and_a_dataset_say_the_same(tmp_path):
    table = "id\tname\tisthing\tcolor\n17\tcat\t1\t1,2,3\n5\tsky\t0\t\n90\tdog\ttrue\t\n"
    (tmp_path / "classes.tsv").write_text(table)
    (tmp_path / "list.json").write_text(json.dumps(LISTED))
    (tmp_path / "dataset.json").write_text(json.dumps({"images": [], "categories": LISTED}))
    for name in ("classes.tsv", "list.json", "dataset.json"):
        assert read_categories(tmp_path / name) == Categories.from_json(LISTED)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.tsv", "id\tname\n1\tcat\n", r"lacks the columns \['isthing'\]"),
        ("a.tsv", "id\tname\tisthing\n1\tcat\tmaybe\n", "class 'cat' has isthing 'maybe'"),
        ("a.json", "{}", 'no list "categories"'),
        ("a.json", "{", "a.json: "),
    ],
)
def test_a_file_without_categories_is_named(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path / name}.*{complaint}|{complaint}"):
        read_categories(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_categories(tmp_path / "none.json")
