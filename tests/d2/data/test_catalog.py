import copy

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T

from kmax_deeplab.d2.data.catalog import register_from_config, register_panoptic
from kmax_deeplab.d2.data.classes import agree_on_classes


def config(entries, num_classes=2):
    return CfgNode(
        {
            "DATASETS": {"PANOPTIC": entries},
            "MODEL": {"SEM_SEG_HEAD": {"NUM_CLASSES": num_classes}},
        }
    )


def records_of(dataset):
    register_panoptic(**dataset.entry)
    return DatasetCatalog.get(dataset.entry["name"])


@pytest.mark.parametrize("image_ids", [(5, 900), ("frankfurt_1", "frankfurt_2")])
def test_records_carry_files_ids_and_contiguous_classes(tiny_dataset, image_ids):
    dataset = tiny_dataset(image_ids)
    first, second = records_of(dataset)
    assert (first["image_id"], second["image_id"]) == image_ids
    assert first["file_name"] == str(dataset.root / "images/part/0.jpg")
    assert first["pan_seg_file_name"] == str(dataset.root / "pngs/part/0.png")
    assert (first["height"], first["width"]) == (64, 48)
    assert first["segments_info"] == [
        {"id": 70_000, "category_id": 0, "iscrowd": 0, "isthing": False},
        {"id": 300, "category_id": 1, "iscrowd": 0, "isthing": True},
    ]


def test_metadata_follow_detectron2s_panoptic_convention(tiny_dataset):
    dataset = tiny_dataset()
    register_panoptic(**dataset.entry)
    metadata = MetadataCatalog.get(dataset.entry["name"])
    assert metadata.thing_classes == metadata.stuff_classes == ["sky", "cat"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 1}
    assert metadata.stuff_dataset_id_to_contiguous_id == {7: 0}
    assert metadata.stuff_colors[0] == [0, 0, 255]
    assert metadata.categories.ids == (7, 3)
    assert metadata.panoptic_root == dataset.entry["pngs"]
    assert metadata.get("no such thing") is None


def test_records_are_what_detectron2s_test_mapper_takes(tiny_dataset):
    record = records_of(tiny_dataset())[0]
    mapper = DatasetMapper(is_train=False, augmentations=[T.NoOpTransform()], image_format="RGB")
    assert mapper(record)["image"].shape == (3, 64, 48)


def test_registering_reads_nothing_and_asking_names_the_missing_path(tmp_path):
    entry = {key: str(tmp_path / key) for key in ("images", "json", "pngs")}
    register_panoptic(tmp_path.name, **entry)
    for key, message in (("images", "folder of the images"), ("pngs", "panoptic PNGs")):
        with pytest.raises(FileNotFoundError, match=rf"{entry[key]}.*{message}.*DATASETS.PANOPTIC"):
            DatasetCatalog.get(tmp_path.name)
        (tmp_path / key).mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{entry['json']}.*DATASETS.PANOPTIC"):
        DatasetCatalog.get(tmp_path.name)
    with pytest.raises(FileNotFoundError, match=rf"{entry['json']}.*DATASETS.PANOPTIC"):
        _ = MetadataCatalog.get(tmp_path.name).thing_classes


def test_registering_twice_is_harmless_and_a_conflict_is_refused(tiny_dataset):
    entry = tiny_dataset().entry
    register_from_config(config([entry]))
    register_from_config(config([entry]))
    with pytest.raises(ValueError, match="registered already"):
        register_from_config(config([{**entry, "images": "elsewhere"}]))
    with pytest.raises(ValueError, match="registered already"):
        register_panoptic("coco_2017_train_panoptic", "images", "panoptic.json", "pngs")


@pytest.mark.parametrize("entry", [{"name": "x", "images": "y"}, "x", {"name": "x", "image": "y"}])
def test_an_entry_with_other_keys_is_refused(entry):
    with pytest.raises(ValueError, match=r"DATASETS\.PANOPTIC.*'pngs'"):
        register_from_config(config([entry]))


def test_num_classes_that_contradict_the_data_are_refused(tiny_dataset):
    entry = tiny_dataset().entry
    register_panoptic(**entry)
    assert agree_on_classes(config([]), [entry["name"]]) == []
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 133, but .* has 2 categories"):
        agree_on_classes(config([], num_classes=133), [entry["name"]])


def test_datasets_that_list_categories_in_another_order_are_mapped_by_name(tiny_dataset):
    datasets = tiny_dataset(), tiny_dataset()
    datasets[1].content["categories"] = datasets[1].content["categories"][::-1]
    datasets[1].write_json()
    for dataset in datasets:
        register_panoptic(**dataset.entry)
    names = [dataset.entry["name"] for dataset in datasets]
    (sentence,) = agree_on_classes(config([]), names)
    assert names[1] in sentence and "another order: mapped by name" in sentence
    records = [DatasetCatalog.get(name)[0] for name in names]
    assert records[0]["segments_info"] == records[1]["segments_info"]
    assert MetadataCatalog.get(names[1]).thing_dataset_id_to_contiguous_id == {3: 1}


def test_a_file_that_is_no_panoptic_json_is_named(tiny_dataset):
    dataset = tiny_dataset()
    path = dataset.root / "panoptic.json"
    path.write_text('{"images": [')
    with pytest.raises(ValueError, match=rf"{path}: not a JSON file"):
        records_of(dataset)
    path.write_text('{"images": []}')
    with pytest.raises(ValueError, match=rf"{path}: lacks \['annotations', 'categories'\]"):
        records_of(dataset)


@pytest.mark.parametrize(
    ("key", "change", "complaint"),
    [
        ("images", lambda images: images.pop(), r"does not list, e.g. \[2\]"),
        ("annotations", lambda annotations: annotations.clear(), "no annotated image"),
        (
            "annotations",
            lambda annotations: annotations[0]["segments_info"][0].update(category_id=99),
            r"image 1 has segments of the categories \[99\]",
        ),
    ],
)
def test_a_json_that_contradicts_itself_is_refused(tiny_dataset, key, change, complaint):
    dataset = tiny_dataset()
    dataset.content = copy.deepcopy(dataset.content)
    change(dataset.content[key])
    dataset.write_json()
    with pytest.raises(ValueError, match=rf"panoptic.json: .*{complaint}"):
        records_of(dataset)


def test_images_without_annotation_are_left_out_and_counted(tiny_dataset, logged):
    dataset = tiny_dataset((1, 2, 3))
    dataset.content["annotations"].pop()
    dataset.write_json()
    assert [record["image_id"] for record in records_of(dataset)] == [1, 2]
    assert any("left out 1 of 3 images" in message for message in logged)
