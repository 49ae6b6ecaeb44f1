"""Every kind of fault, planted one at a time."""

import copy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.check.dataset_check import Source, check_dataset, check_strays, count_classes
from kmax_deeplab.data.check.findings import KINDS, NOTES, Finding
from kmax_deeplab.data.check.image_check import fixed_content, measure_segments
from kmax_deeplab.data.check.json_check import find_strays
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from tests.own_data import CELL, CROWD, GROUND, SIZE, OwnData, truncate
from tests.packed import pack, spoil, truncate_archive


@pytest.fixture
def data(tmp_path):
    return OwnData(tmp_path)


def check(data, workers=1):
    report = check_dataset(Source("own", data.images, data.json, data.pngs), workers)
    return report, report.findings + check_strays([report])


def change_json(change):
    """A planter that changes the JSON and expects the JSON to be named."""

    def plant(data):
        data.content = copy.deepcopy(data.content)
        change(data)
        data.write_json()
        return data.json

    return plant


def change_segment(kind_of_file, **changes):
    """A planter that changes the cell of the first image."""

    def change(data):
        data.segments(0)[1].update(changes)

    def plant(data):
        json_file = change_json(change)(data)
        return str(data.png_path(0)) if kind_of_file == "png" else json_file

    return plant


def break_up_stuff(data):
    data.content["categories"][1]["isthing"] = 0
    data.segments(0)[2]["iscrowd"] = 0


def remove_image(data):
    data.image_path(0).unlink()
    return str(data.image_path(0))


def remove_png(data):
    data.png_path(0).unlink()
    return str(data.png_path(0))


def deepen_image(data):
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(data.image_path(0))
    return str(data.image_path(0))


def enlarge_image(data):
    Image.new("L", (8193, 8192)).save(data.image_path(0))
    return str(data.image_path(0))


def turn_image(data):
    exif = Image.Exif()
    exif[0x0112] = 3  # Orientation: upside down
    return str(data.write_image("part1/sub/3.jpg", np.full(SIZE, 90), exif=exif))


def shrink_png(data):
    write_ids(data.png_path(0), read_ids(data.png_path(0))[:, :-2])
    return str(data.png_path(0))


def paint_stranger(data):
    ids = read_ids(data.png_path(0))
    ids[0, 0] = 99
    write_ids(data.png_path(0), ids)
    return str(data.png_path(0))


def erase_crowd(data):
    ids = read_ids(data.png_path(0))
    ids[ids == CROWD] = 0
    write_ids(data.png_path(0), ids)
    return str(data.png_path(0))


def add_image(data):
    return str(data.write_image("part0/forgotten.JPG", np.zeros(SIZE)))


def add_png(data):
    path = Path(data.pngs, "part0", "forgotten.png")
    write_ids(path, np.zeros(SIZE, dtype=int))
    return str(path)


def move_pngs(data):
    Path(data.pngs).rename(data.root / "elsewhere")
    return data.pngs


def cut_zip(data):
    data.images = str(pack(Path(data.images)))
    truncate_archive(Path(data.images).parent)
    return data.images


FAULTS = {
    "missing-place": move_pngs,
    "damaged-zip": cut_zip,
    "bad-json": change_json(lambda data: data.content["annotations"][0].pop("file_name")),
    "outside": change_json(lambda d: d.content["images"][0].update(file_name="../a.png")),
    "bad-category": change_json(lambda data: data.content["categories"][0].update(name="cell")),
    "unknown-category": change_segment("json", category_id=8),
    "unlisted-image": change_json(lambda d: d.content["annotations"][0].update(image_id="x")),
    "unannotated-image": change_json(lambda data: data.content["annotations"].pop(0)),
    "duplicate-image": change_json(lambda d: d.content["images"].append(d.content["images"][0])),
    "duplicate-annotation": change_json(
        lambda data: data.content["annotations"].append(data.content["annotations"][0])
    ),
    "duplicate-segment": change_json(lambda data: data.segments(0).append(data.segments(0)[0])),
    "segment-id": change_segment("json", id=0),
    "stuff-in-pieces": change_json(break_up_stuff),
    "missing-iscrowd": change_json(lambda data: data.segments(0)[0].pop("iscrowd")),
    "missing-image": remove_image,
    "missing-png": remove_png,
    "damaged-image": lambda data: str(truncate(data.image_path(3))),
    "damaged-png": lambda data: str(truncate(data.png_path(0))),
    "deep-image": deepen_image,
    "huge-image": enlarge_image,
    "exif-rotation": turn_image,
    "size": shrink_png,
    "id-not-in-json": paint_stranger,
    "id-not-in-png": erase_crowd,
    "wrong-area": change_segment("png", area=601),
    "wrong-bbox": change_segment("png", bbox=[20, 10, 29, 19]),
    "stray-image": add_image,
    "stray-png": add_png,
}


BETWEEN_DATASETS = {"leaked-image"}
"""Kinds that one dataset cannot have: test_duplicates.py plants them."""


def test_every_kind_of_fault_is_planted_below():
    assert FAULTS.keys() == KINDS.keys() - BETWEEN_DATASETS
    assert not KINDS.keys() & NOTES.keys()


def test_a_clean_dataset_has_no_finding(data):
    assert check(data)[1] == []


def test_a_dataset_in_zips_is_checked_like_one_in_folders(data):
    photo = data.image_path(0).read_bytes()
    Path(data.images, "part1/forgotten.png").write_bytes(photo[::-1])
    data.png_path(1).unlink()
    names = [str(data.image_path(0)), str(data.png_path(1)), f"{data.images}/part1/forgotten.png"]
    folders = data.images, data.pngs
    data.images, data.pngs = str(pack(Path(data.images))), str(pack(Path(data.pngs)))
    spoil(Path(data.images).parent, photo)
    _, found = check(data)
    expected = [
        names[0].replace(folders[0], data.images),
        names[1].replace(folders[1], data.pngs),
        names[2].replace(folders[0], data.images),
    ]
    kinds = "damaged-image", "missing-png", "stray-image"
    assert {finding.kind: finding.file for finding in found} == dict(
        zip(kinds, expected, strict=True)
    )
    assert len(found) == 3


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_and_its_file_named(data, kind):
    file = FAULTS[kind](data)
    found = [finding for finding in check(data)[1] if finding.kind == kind]
    assert found, f"{kind} was not found"
    assert {finding.file for finding in found} == {file}


def test_several_processes_find_the_same(data):
    FAULTS["wrong-area"](data)
    FAULTS["damaged-image"](data)
    assert check(data, workers=2)[1] == check(data)[1]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_a_json_that_cannot_be_used_is_the_only_finding(data, text):
    Path(data.json).write_text(text)
    found = check_dataset(Source("own", data.images, data.json, data.pngs)).findings
    assert {(finding.kind, finding.file) for finding in found} == {("bad-json", data.json)}


def test_without_a_json_nothing_is_called_stray(data):
    Path(data.json).unlink()
    assert [finding.kind for finding in check(data)[1]] == ["missing-place"]


def test_an_image_stored_sideways_fits_labels_that_are_upright(data):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: on its side
    data.write_image("part1/sub/3.jpg", np.zeros(SIZE[::-1]), exif=exif)
    assert [finding.kind for finding in check(data)[1]] == ["exif-rotation"]
    data.write_image("part1/sub/3.jpg", np.zeros(SIZE), exif=exif)
    messages = [str(finding) for finding in check(data)[1] if finding.kind == "size"]
    assert "as the image is before its EXIF rotation" in messages[0]


def test_files_that_another_dataset_of_the_folder_lists_are_no_strays(tmp_path):
    first, second = OwnData(tmp_path), OwnData(tmp_path)
    second.json = str(tmp_path / "second.json")
    for data, chosen in ((first, slice(0, 2)), (second, slice(2, 4))):
        for name in ("images", "annotations"):
            data.content[name] = data.content[name][chosen]
        data.write_json()
    reports = [check(data)[0] for data in (first, second)]
    assert check_strays(reports) == []
    assert len(check_strays(reports[:1])) == 4


def test_masks_beside_an_image_that_is_listed_are_no_strays(tmp_path):
    files = [tmp_path / name for name in ("a/images/a.png", "a/masks/1.png", "b/masks/1.png")]
    for path in files:
        path.parent.mkdir(parents=True)
        path.touch()
    found = find_strays("stray-image", str(tmp_path), {".png"}, {str(files[0])})
    assert [finding.file for finding in found] == [str(files[2])]


def test_classes_are_counted_and_unused_ones_show(data):
    ground, cell, vessel = count_classes(check(data)[0])
    assert (ground.name, ground.is_thing, ground.segments, ground.images) == ("ground", False, 4, 4)
    assert (cell.segments, cell.crowds, cell.images, cell.pixels) == (8, 4, 4, 4 * (600 + 96))
    assert (vessel.segments, vessel.pixels) == (0, 0)


def test_a_fixed_copy_has_true_areas_and_boxes_and_iscrowd(data):
    right = copy.deepcopy(data.content)
    del data.segments(0)[1]["area"], data.segments(1)[0]["iscrowd"]
    data.segments(0)[0].update(area=1, bbox=[0, 0, 1, 1])
    data.write_json()
    report, found = check(data)
    assert {finding.kind for finding in found} == {"wrong-area", "wrong-bbox", "missing-iscrowd"}
    assert fixed_content(report.content, report.reports) == right
    assert data.content != right


def test_a_fixed_copy_lacks_segments_without_pixels_and_has_the_things_named(data):
    data.content["categories"][1]["isthing"] = 0
    data.segments(0).append({"id": 9, "category_id": 300, "iscrowd": 0, "area": 7})
    data.segments(1).append({"id": 9, "category_id": 300, "iscrowd": 0})
    data.png_path(1).unlink()  # nobody knows what it held
    data.write_json()
    report, found = check(data)
    kinds = {finding.kind for finding in found}
    assert kinds == {"id-not-in-png", "missing-png", "stuff-in-pieces"}
    message = next(f.message for f in found if f.kind == "stuff-in-pieces")
    assert "2 of 4 images have several" in message and "--things 'cell'" in message
    fixed = fixed_content(report.content, report.reports, ["cell"])
    ids = [[s["id"] for s in a["segments_info"]] for a in fixed["annotations"][:2]]
    assert ids == [[GROUND, CELL, CROWD], [GROUND, CELL, CROWD, 9]]
    assert [category["isthing"] for category in fixed["categories"]] == [0, 1, 0]
    with pytest.raises(ValueError, match=r"no classes \['tree'\]; there are \['ground'"):
        fixed_content(report.content, report.reports, ["tree"])


def test_areas_and_boxes_are_those_of_the_pixels():
    measures = measure_segments(OwnData.labels(0)[0])
    assert measures.keys() == {GROUND, CELL, CROWD}
    assert (measures[CELL].area, measures[CELL].bbox) == (600, (20, 10, 30, 20))
    assert measure_segments(np.zeros((2, 2), dtype=int)) == {}


def test_a_kind_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="unknown kind of finding 'odd'"):
        Finding("odd", "file", "message")
