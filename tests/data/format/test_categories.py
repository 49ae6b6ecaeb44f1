import json

import pytest

from kmax_deeplab.data.format.categories import Categories, align, read_categories

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
        ([{**LISTED[0], "isthing": "0"}], r"category 17 \('cat'\) has isthing '0': use 0 or 1"),
        ([{**LISTED[0], "id": -4}], "must be a whole number from 0"),
        ([{**LISTED[0], "name": 3}], "the name must be a text"),
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
        ("a.tsv", "id\tname\tisthing\nx\tcat\t1\n", "row 2: the id 'x'"),
        ("a.tsv", "id\tname\tisthing\n3\n", "row 2: lacks"),
    ],
)
def test_a_file_without_categories_is_named(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path / name}.*{complaint}|{complaint}"):
        read_categories(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_categories(tmp_path / "none.json")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_and_jsons_of_excel_are_read(tmp_path, newline):
    table = newline.join(["id\tname\tisthing", "17\tcat\t1", "5\tMähne\tFALSE", ""])
    (tmp_path / "a.tsv").write_bytes(table.encode("utf-8-sig"))
    (tmp_path / "a.json").write_text(json.dumps(LISTED), encoding="utf-8-sig")
    assert read_categories(tmp_path / "a.tsv").names == ("cat", "Mähne")
    assert read_categories(tmp_path / "a.json") == Categories.from_json(LISTED)


def test_categories_take_the_place_of_the_class_of_their_name():
    model, dataset = Categories.from_json(LISTED), Categories.from_json(LISTED[::-1])
    assert align(dataset, model) == model
    aligned = align(Categories.from_json([{**LISTED[2], "id": 4}]), model)
    assert (aligned.ids, aligned.names) == ((-1, -2, 4), model.names)
    assert aligned.contiguous[4] == 2
    with pytest.raises(ValueError, match=r"lacks the model's classes \['cat', 'sky'\]"):
        align(Categories.from_json(LISTED[2:]), model, whole=True)
    with pytest.raises(ValueError, match=r"the names \['cat'\] occur more than once"):
        align(Categories.from_json([*LISTED, {**LISTED[0], "id": 3}]), model)
