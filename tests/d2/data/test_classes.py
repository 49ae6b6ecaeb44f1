"""What a config that names datasets becomes before anything is built."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.catalog import align_dataset, categories_of
from kmax_deeplab.d2.data.classes import (
    choose_datasets,
    prepare_datasets,
    prepare_prediction,
)
from kmax_deeplab.d2.data.examine import examine, sample_evenly
from kmax_deeplab.d2.data.mapper import build_train_mapper
from kmax_deeplab.d2.data.sources import panoptic_source
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from tests.own_data import CATEGORIES, CELL, GROUND, OwnData, truncate

CUSTOM = Path(__file__).parents[3] / "configs" / "custom"


@pytest.fixture
def data(tmp_path):
    return OwnData(tmp_path)


def config(*entries, **options):
    pairs = [str(word) for pair in options.items() for word in pair]
    listed = ("DATASETS.PANOPTIC", str(list(entries)))
    return load_config(str(CUSTOM / "kmax_trial_on_cpu.yaml"), [*listed, *pairs])


def test_classes_are_counted_and_datasets_chosen_where_the_config_leaves_them_open(data):
    name = data.root.name
    cfg = config(data.entry(f"{name}_train"), data.entry(f"{name}_val"))
    decisions = prepare_datasets(cfg)
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3
    assert ((f"{name}_train",), (f"{name}_val",)) == (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST)
    assert any("NUM_CLASSES becomes 3" in decision for decision in decisions)


def test_given_numbers_and_names_stay_and_a_contradiction_offers_to_count(data):
    name = data.root.name
    cfg = config(data.entry(name), **{"DATASETS.TRAIN": (name,)})
    prepare_datasets(cfg)
    assert ((name,), ()) == (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 133
    with pytest.raises(ValueError, match="has 3 categories: set it to 3, or to 0"):
        prepare_datasets(cfg)


@pytest.mark.parametrize("name", sorted(path.name for path in CUSTOM.rglob("*.yaml")))
def test_configs_for_own_data_leave_open_what_the_data_says(name):
    path = next(CUSTOM.rglob(name))
    assert len(path.read_text().splitlines()) <= 30
    assert f"--config-file {path.relative_to(CUSTOM.parents[1])} " in path.read_text()
    cfg = load_config(str(path))
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 0
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == ((), ())


def test_one_dataset_serves_for_both_with_a_warning(data):
    cfg = config(data.entry("alone"))
    (sentence,) = choose_datasets(cfg)
    assert cfg.DATASETS.TRAIN == cfg.DATASETS.TEST == ("alone",)
    assert "images it was trained on" in sentence


def test_datasets_that_are_listed_for_nothing_are_mentioned(data):
    cfg = config(data.entry("idle"), **{"DATASETS.TEST": ("coco_2017_val_panoptic",)})
    assert choose_datasets(cfg) == [
        "Neither DATASETS.TRAIN nor DATASETS.TEST uses the datasets ['idle']."
    ]


@pytest.mark.parametrize("names", [("a", "b"), ("a_train", "b_train"), ("a_train", "b", "c_val")])
def test_names_that_do_not_say_what_they_are_for_are_refused(data, names):
    cfg = config(*(data.entry(name) for name in names))
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN and DATASETS\.TEST are empty"):
        choose_datasets(cfg)


def test_a_model_of_an_open_number_of_classes_is_refused(data):
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 0.*prepare_datasets"):
        build_model(config(data.entry("unused")))


def test_without_any_categories_the_number_is_asked_for():
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 0.*none of the datasets \[\]"):
        prepare_datasets(config())


def test_datasets_of_one_list_of_categories_train_together(tmp_path):
    parts = [OwnData(tmp_path / name) for name in ("one", "two")]
    names = [f"{tmp_path.name}_{part.root.name}" for part in parts]
    entries = [part.entry(name) for part, name in zip(parts, names, strict=True)]
    chosen = {"DATASETS.TRAIN": tuple(names)}
    prepare_datasets(config(*entries, **chosen))
    assert [len(DatasetCatalog.get(name)) for name in names] == [4, 4]


def test_a_dataset_with_another_name_for_a_class_is_refused(tmp_path):
    parts = [OwnData(tmp_path / name) for name in ("one", "two")]
    parts[1].content["categories"] = [
        CATEGORIES[0],
        {**CATEGORIES[1], "name": "dog"},
        CATEGORIES[2],
    ]
    parts[1].write_json()
    names = [f"{tmp_path.name}_{part.root.name}" for part in parts]
    entries = [part.entry(name) for part, name in zip(parts, names, strict=True)]
    with pytest.raises(ValueError, match=rf"{names[1]}.* no class 'dog' \(id 300, there 'cell'\)"):
        prepare_datasets(config(*entries, **{"DATASETS.TRAIN": tuple(names)}))


def test_a_faulty_dataset_is_refused_before_the_run_and_its_files_named(data):
    name = data.root.name
    data.png_path(1).unlink()
    data.segments(0)[0]["category_id"] = 8
    data.write_json()
    with pytest.raises(ValueError) as caught:
        prepare_datasets(config(data.entry(name)))
    message = str(caught.value)
    assert f"dataset {name!r} has 2 faults (python datasets/check.py" in message
    assert f"{data.png_path(1)}: does not exist" in message
    assert f"{data.json}: image 'image-0'" in message


def test_what_training_copes_with_is_only_mentioned(data):
    del data.segments(0)[0]["iscrowd"]
    data.content["annotations"].pop()
    data.write_json()
    prepare_datasets(config(data.entry(data.root.name)))
    sentences = examine(data.root.name)
    assert len(sentences) == 2
    assert "1 times, a listed image has no annotation" in " ".join(sentences)


def test_an_evaluation_needs_no_training_files(data, tmp_path):
    name = data.root.name
    missing = {**data.entry(f"{name}_train"), "json": str(tmp_path / "none.json")}
    cfg = config(missing, data.entry(f"{name}_val"))
    prepare_datasets(cfg, train=False)
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3


def test_few_files_are_taken_from_all_over_a_large_dataset():
    assert sample_evenly(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert sample_evenly([1, 2], 5) == [1, 2]
    assert sample_evenly([], 5) == []


def test_more_than_254_classes_reach_the_targets(data):
    data.content["categories"] = [
        *({"id": 1000 + i, "name": f"class {i}", "isthing": 1} for i in range(300)),
        *CATEGORIES,
    ]
    data.write_json()
    cfg = config(data.entry(data.root.name))
    prepare_datasets(cfg)
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 303
    records = DatasetCatalog.get(data.root.name)
    targets = build_train_mapper(cfg, records)(records[0], seed=1)["targets"]
    assert set(targets.classes.tolist()) <= {300, 301}
    assert targets.semantic.max() >= 300


def test_a_prediction_asks_for_categories_only(data):
    cfg = config({**data.entry(f"{data.root.name}_val"), "images": "nowhere"})
    assert prepare_prediction(cfg).ids == (7, 300, 12)
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3
    given = Categories.from_json(CATEGORIES[:2])
    cfg = config()
    assert prepare_prediction(cfg, given) == given
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 2


def test_detectron2s_panoptic_datasets_have_categories_too():
    categories = categories_of("coco_2017_val_panoptic")
    assert len(categories) == 133
    assert sum(categories.is_thing) == 80
    assert categories.names[0] == MetadataCatalog.get("coco_2017_val_panoptic").stuff_classes[0]
    assert categories_of("coco_2017_val") is None


def test_only_panoptic_datasets_have_places_to_check(data):
    with pytest.raises(ValueError, match="no dataset is named 'none'"):
        panoptic_source("none")
    with pytest.raises(ValueError, match="'coco_2017_val' is no panoptic one"):
        panoptic_source("coco_2017_val")
    prepare_datasets(config(data.entry(data.root.name)))
    assert panoptic_source(data.root.name).json == data.json


def reordered(data, *positions):
    """Lists the categories of a dataset in another order."""
    data.content["categories"] = [data.content["categories"][i] for i in positions]
    data.write_json()
    return data


def test_a_dataset_follows_the_classes_of_the_weights_whatever_its_order_and_ids(data):
    classes = Categories.from_json([{**c, "id": c["id"] + 5} for c in CATEGORIES])
    name = reordered(data, 2, 0, 1).root.name
    decisions = prepare_datasets(config(data.entry(name)), train=False, classes=classes)
    assert any("another order" in decision for decision in decisions)
    assert categories_of(name).names == classes.names
    assert categories_of(name).ids == (7, 300, 12)
    found = [s["category_id"] for s in DatasetCatalog.get(name)[0]["segments_info"]]
    assert found == [0, 1, 1]


def test_a_split_that_lacks_a_class_is_evaluated_without_it_and_not_trained(data):
    name = reordered(data, 0, 1).root.name
    classes = Categories.from_json(CATEGORIES)
    decisions = prepare_datasets(config(data.entry(name)), train=False, classes=classes)
    assert f"dataset {name!r} lacks the classes ['vessel']: they are left out there." in decisions
    assert categories_of(name).ids == (7, 300, -3)
    with pytest.raises(
        ValueError, match=r"lacks the model's classes \['vessel'\][^$]*REINITIALIZE"
    ):
        prepare_datasets(config(data.entry(name)), classes=classes)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "dog"}, r"no class 'dog' \(id 300, there 'cell'\); its classes are \['ground'"),
        ({"isthing": 0}, r"'cell' is stuff here, and a thing to the model"),
        ({"name": "dog", "id": 4}, r"no class 'dog' \(id 4\)"),
    ],
)
def test_other_classes_than_those_of_the_weights_are_refused(data, change, complaint):
    data.content["categories"][1].update(change)
    for number in range(4):
        for segment in data.segments(number)[1:]:
            segment["category_id"] = change.get("id", 300)
    data.write_json()
    cfg = config(data.entry(data.root.name))
    with pytest.raises(ValueError, match=complaint):
        prepare_datasets(cfg, train=False, classes=Categories.from_json(CATEGORIES))


@pytest.mark.parametrize("name", ["coco_2017_val_panoptic", "coco_2017_val_panoptic_separated"])
def test_benchmarks_keep_their_order(name):
    coco = categories_of("coco_2017_val_panoptic")
    align_dataset(name, coco)
    if name.endswith("panoptic"):
        with pytest.raises(ValueError, match="numbers its classes otherwise than the model"):
            align_dataset(name, Categories.from_json(coco.to_json()[::-1]))


def test_a_prediction_has_the_classes_of_the_weights_with_the_ids_given(data):
    classes = Categories.from_json(CATEGORIES)
    cfg = config(data.entry("never_read"))
    assert prepare_prediction(cfg, classes=classes) == classes
    given = Categories.from_json([{**c, "id": c["id"] + 5} for c in CATEGORIES[::-1]])
    found = prepare_prediction(config(), given, classes)
    assert (found.ids, found.names) == ((12, 305, 17), classes.names)
    with pytest.raises(ValueError, match="lacks the model's classes"):
        prepare_prediction(config(), Categories.from_json(CATEGORIES[:2]), classes)


@pytest.mark.parametrize("train", [True, False])
def test_pngs_of_another_set_are_named_before_the_run(data, train):
    ids = read_ids(data.png_path(1))
    write_ids(data.png_path(1), ids + 1)
    with pytest.raises(ValueError, match=rf"{data.png_path(1)}: ids \[.*are in the PNG, not in"):
        prepare_datasets(config(data.entry(data.root.name)), train=train)
    write_ids(data.png_path(1), ids[:-1])
    with pytest.raises(ValueError, match=r"1\.png is 47 pixels high and 72 wide, its image 48"):
        prepare_datasets(config(data.entry(data.root.name)), train=train)


def test_lost_segments_and_damaged_pngs_do_not_keep_a_run_from_its_start(data):
    ids = read_ids(data.png_path(0))
    write_ids(data.png_path(0), np.where(ids == CELL, GROUND, ids))
    truncate(data.png_path(1))
    name = data.root.name
    prepare_datasets(config(data.entry(name), **{"DATASETS.TRAIN": (name,)}))
    with pytest.raises(ValueError, match=rf"{data.png_path(1)} cannot be read"):
        prepare_datasets(config(data.entry(name)))


def test_a_dataset_whose_pngs_show_nothing_is_refused_before_the_run(data):
    for number in range(4):
        data.content["annotations"][number]["segments_info"] = data.segments(number)[: number % 2]
        write_ids(data.png_path(number), np.zeros_like(read_ids(data.png_path(number))))
    data.write_json()
    with pytest.raises(
        ValueError, match=r"none of the 2 PNGs .* has a labelled pixel, .*e\.g\. .*1\.png"
    ):
        prepare_datasets(config(data.entry(data.root.name)), train=False)
