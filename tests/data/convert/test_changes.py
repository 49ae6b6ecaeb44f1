import numpy as np
import pytest

from kmax_deeplab.data.convert.changes import change, choose_target, parse_changes
from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.format.categories import Categories

FOUND = Categories.from_json(
    [
        {"id": 1, "name": "round", "isthing": 1, "color": [1, 2, 3]},
        {"id": 2, "name": "long", "isthing": 1},
        {"id": 5, "name": "tissue", "isthing": 0},
        {"id": 9, "name": "dirt", "isthing": 0},
    ]
)


def chosen(**words):
    return choose_target(FOUND, parse_changes(**words))


def test_without_a_change_the_classes_are_those_of_the_labels():
    target = chosen()
    assert target.categories == FOUND
    assert target.ids == {1: 1, 2: 2, 5: 5, 9: 9}


def test_classes_are_renamed_merged_ignored_and_made_things():
    target = chosen(
        rename=["tissue=ground"], merge=["cell=round, long"], ignored=["dirt"], things=["ground"]
    )
    assert list(target.categories.rows()) == [(1, "cell", False), (5, "ground", True)]
    assert target.categories.colors[0] == (1, 2, 3)
    assert target.ids == {1: 1, 2: 1, 5: 5, 9: None}


def test_classes_of_one_name_become_one_only_if_somebody_says_so():
    twice = Categories.from_json([{"id": i, "name": "cat", "isthing": 1} for i in (3, 4)])
    with pytest.raises(ValueError, match=r"several classes are called 'cat'.*--merge 'cat'='cat'"):
        choose_target(twice, parse_changes())
    assert choose_target(twice, parse_changes(merge=["cat=cat"])).ids == {3: 3, 4: 3}


def test_two_names_can_be_exchanged():
    target = chosen(rename=["round=long", "long=round"])
    assert target.categories.names[:2] == ("long", "round")
    assert target.ids[1] == 1


def test_regions_get_their_new_class_and_ignored_ones_go():
    mask = np.ones((1, 2), bool)
    labels = Labels((1, 2), [Region(2, mask), Region(9, mask)])
    changed = change(labels, chosen(merge=["cell=round,long"], ignored=["dirt"]))
    assert [region.category_id for region in changed.regions] == [1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"ignored": ["cat"]}, r"no class \['cat'\]; their classes are \['round'"),
        ({"rename": ["cat=dog"]}, r"no class \['cat'\]"),
        ({"rename": ["round"]}, "'round': write --rename old=new"),
        ({"merge": ["cell="]}, "write --merge"),
        ({"rename": ["round=long"]}, "'long', which is a class already: merge both"),
        ({"rename": ["round=a", "long=a"]}, "several classes get this name"),
        ({"rename": ["round = a", "long = a"]}, "several classes get this name"),
        ({"rename": ["round=a"], "ignored": ["round"]}, "'round' is named twice"),
        ({"merge": ["a=round,tissue"]}, "'a' would be thing and stuff at once"),
        ({"things": ["cell"]}, r"--things \['cell'\]: the classes are"),
        ({"ignored": ["round", "long", "tissue", "dirt"]}, "every class is ignored"),
    ],
)
def test_changes_that_cannot_be_are_refused_by_name(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        chosen(**words)
