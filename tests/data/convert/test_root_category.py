from kmax_deeplab.data.convert.root_category import drop_root


def test_a_project_may_be_named_like_its_only_class():
    root = {"id": 0, "name": "lego-face", "supercategory": "none"}
    kept = {"id": 1, "name": "lego-face", "supercategory": "lego-face"}
    assert drop_root([root, kept], {1})[0] == [kept]
    assert drop_root([root, kept], {0, 1}) == ([root, kept], [])


def test_classes_that_head_no_others_stay_though_no_label_is_of_them():
    alone = {"id": 0, "name": "cat", "supercategory": "none"}
    within = {"id": 1, "name": "person", "supercategory": "person"}
    bare = {"id": 2, "name": "dog"}
    assert drop_root([alone, within, bare], set()) == ([alone, within, bare], [])
