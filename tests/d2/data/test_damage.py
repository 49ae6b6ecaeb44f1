"""Counting what a training leaves out: each file once, and not without end."""

import pytest

from kmax_deeplab.d2.data.damage import counted


def batches(*files):
    return [[{"image": number, "left_out": {file: "is torn"}}] for number, file in enumerate(files)]


def test_each_file_is_named_once_with_its_reason(logged):
    found = list(counted([[{"image": 0}], *batches("a.jpg", "b.jpg", "a.jpg")], 2))
    assert [x for batch in found for x in batch] == [{"image": i} for i in (0, 0, 1, 2)]
    assert logged == [
        "Left out a.jpg: is torn. 1 files so far.",
        "Left out b.jpg: is torn. 2 files so far.",
    ]


def test_too_many_files_end_the_run_with_their_names():
    seen = counted(batches("a.jpg", "b.jpg", "c.jpg"), 2)
    assert len([next(seen), next(seen)]) == 2
    with pytest.raises(
        ValueError, match=r"3 files.*MAX_DAMAGED 2: a\.jpg, b\.jpg, c\.jpg.*check\.py"
    ):
        next(seen)
