import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kmax_deeplab.data.convert.changes import Changes, choose_target
from kmax_deeplab.data.convert.conversion import convert
from kmax_deeplab.data.convert.journal import Journal
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Region, Source
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.fragment import FRAGMENT
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.whole_files import WholeFolder

CATEGORIES = Categories.from_json(
    [{"id": 1, "name": "sky", "isthing": 0}, {"id": 7, "name": "cat", "isthing": 1}]
)


def draw(log: Path, image: LabelledImage) -> Labels:
    """Draws a cat as wide as the image's label file says, on the sky; notes that it was asked."""
    with log.open("a") as file:
        file.write(f"{image.image_id} ")
    text = image.files[0].read_text()
    if not text.isdecimal():
        raise ValueError(f"{image.files[0]}: {text!r} is no number")
    cat = Region(7, np.ones((2, int(text)), bool))
    return Labels((3, 20), [Region(1, np.ones((3, 20), bool)), cat], {"line": 2}, {"seen": 1})


@pytest.fixture
def source(tmp_path):
    """Twenty images; label file N holds N % 5 + 1."""
    images = []
    for number in range(20):
        file = tmp_path / f"{number}.txt"
        file.write_text(str(number % 5 + 1))
        part = "train" if number < 15 else "val"
        name = f"{number % 2}/{number}.jpg"
        images.append(LabelledImage(number, name, None, (file,), part))
    return Source(tmp_path, CATEGORIES, images, partial(draw, tmp_path / "log"))


def write(source, output, changes=None, workers=1):
    target = choose_target(source.categories, changes or Changes())
    parts = {image.file_name: image.part for image in source.images}
    return convert(source, target, parts, output, workers=workers)


def drawn(tmp_path):
    """Returns which images were asked for since the last time."""
    log = tmp_path / "log"
    numbers = [int(word) for word in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return numbers


def files(folder):
    """Returns the labels; dataset.yaml names the folder, too."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name != FRAGMENT]
    return {p.relative_to(folder): p.read_bytes() for p in paths}


def test_parts_are_datasets_of_their_own(source, tmp_path):
    written = write(source, tmp_path / "out")
    assert [(part, one.images) for part, one in written.items()] == [("train", 15), ("val", 5)]
    assert written["val"].segments == {"sky": 5, "cat": 5}
    assert written["val"].dropped == {"line": 10} and written["train"].notes == {"seen": 15}
    assert written["train"].needed == {2: 15}
    content = json.loads((tmp_path / "out/val/panoptic.json").read_text())
    assert [image["id"] for image in content["images"]] == [15, 16, 17, 18, 19]
    assert content["annotations"][1]["file_name"] == "0/16.png"
    ids = read_ids(tmp_path / "out/val/panoptic/0/16.png")
    assert (ids == 2).sum() == 4 and (ids == 1).sum() == 3 * 20 - 4
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [FRAGMENT, "train", "val"]


def test_the_folder_takes_its_name_with_everything_in_it(source, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(WholeFolder, "finish", lambda self: found.extend(self.partial.iterdir()))
    write(source, tmp_path / "out")
    assert sorted(path.name for path in found) == [FRAGMENT, "train", "val"]
    (listed,) = [path.read_text() for path in found if path.name == FRAGMENT]
    assert "name: out_train" in listed and "json: val/panoptic.json" in listed


def test_a_part_lies_in_the_folder(source, tmp_path):
    outside = replace(source, images=[replace(source.images[0], part="../../up")])
    with pytest.raises(ValueError, match=r"the part '../../up' would lie outside of"):
        write(outside, tmp_path / "out")


def test_two_processes_write_the_same_bytes(source, tmp_path):
    write(source, tmp_path / "one")
    write(source, tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_all_damaged_images_are_named_and_the_others_are_not_drawn_again(source, tmp_path):
    for number in (3, 8):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(ValueError, match=r"(?s)2 of 20 images.*3\.txt: 'x' is.*8\.txt: 'x' is"):
        write(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for number in (3, 8):
        (tmp_path / f"{number}.txt").write_text(str(number % 5 + 1))
    drawn(tmp_path)
    written = write(source, tmp_path / "out")
    assert drawn(tmp_path) == [3, 8]
    assert written["train"].images == 15 and written["train"].dropped == {"line": 30}
    write(source, tmp_path / "again")
    assert files(tmp_path / "out") == files(tmp_path / "again")


def interrupt(source, tmp_path, after):
    def watched(records, total):
        for number, record in enumerate(records):
            if number == after:
                raise KeyboardInterrupt
            yield record

    target = choose_target(source.categories, Changes())
    parts = {image.file_name: image.part for image in source.images}
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, parts, tmp_path / "out", progress=watched)
    drawn(tmp_path)


def test_an_interrupted_run_goes_on_even_from_half_a_line(source, tmp_path):
    interrupt(source, tmp_path, after=12)
    with (tmp_path / ".out.partial/journal.jsonl").open("ab") as file:
        file.write(b'{"name": "0/12.p')
    write(source, tmp_path / "out")
    assert drawn(tmp_path) == list(range(12, 20))
    write(source, tmp_path / "again")
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_labels_that_changed_meanwhile_are_drawn_anew(source, tmp_path):
    interrupt(source, tmp_path, after=12)
    (tmp_path / "4.txt").write_text("11")
    written = write(source, tmp_path / "out")
    assert drawn(tmp_path) == list(range(20))
    assert (read_ids(tmp_path / "out/train/panoptic/0/4.png") == 2).sum() == 22
    assert written["train"].images == 15


def test_other_words_begin_anew(source, tmp_path):
    interrupt(source, tmp_path, after=12)
    write(source, tmp_path / "out", Changes(ignored=["sky"]))
    assert drawn(tmp_path) == list(range(20))
    assert set(np.unique(read_ids(tmp_path / "out/val/panoptic/0/16.png"))) == {0, 1}


def test_pngs_that_a_killed_run_did_not_note_are_in_no_new_dataset(source, tmp_path):
    for name in ("val/panoptic/0/2.png", "train/panoptic/0/.4.1a2b.partial.png"):
        stray = tmp_path / ".out.partial" / name
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"")
    write(source, tmp_path / "out")
    write(source, tmp_path / "other")
    assert files(tmp_path / "out") == files(tmp_path / "other")


def test_labels_that_are_to_be_drawn_in_another_way_begin_anew(source, tmp_path):
    interrupt(source, tmp_path, after=12)
    other = replace(source, draw=partial(draw, tmp_path / "other"))
    write(other, tmp_path / "out")
    assert len((tmp_path / "other").read_text().split()) == 20


def test_two_conversions_into_one_folder_are_refused(source, tmp_path):
    held = Journal(tmp_path / ".out.partial/journal.jsonl")
    complaint = r"another conversion writes to .*\.out\.partial"
    with held, pytest.raises(ValueError, match=complaint):
        write(source, tmp_path / "out")
    assert write(source, tmp_path / "out")["train"].images == 15


def test_a_folder_with_files_is_never_written_to(source, tmp_path):
    with pytest.raises(ValueError, match=r"is not empty.*--output"):
        write(source, tmp_path)


def test_labels_without_an_image_are_refused(source, tmp_path):
    with pytest.raises(ValueError, match="the labels list no image"):
        write(replace(source, images=[]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_that_one_is_in_cannot_be_the_new_one(source, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match=r"--output \.: name a new folder"):
        write(source, Path("."))


def test_two_images_with_one_png_are_refused(source, tmp_path):
    twice = LabelledImage(99, "0/0.png", None)
    both = Source(tmp_path, CATEGORIES, [*source.images, twice], source.draw)
    with pytest.raises(ValueError, match=r"0/0\.jpg and 0/0\.png both get 0/0\.png"):
        write(both, tmp_path / "out")
