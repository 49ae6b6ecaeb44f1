"""Evaluators on a tiny dataset on disk, whose categories are sky (stuff, id 7) and cat (id 3)."""

import json
import logging

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from detectron2.projects.deeplab import add_deeplab_config

from kmax_deeplab.d2.config.keys import add_kmax_deeplab_config
from kmax_deeplab.d2.data.catalog import align_dataset, register_panoptic
from kmax_deeplab.d2.evaluation.build import (
    build_evaluator,
    evaluated_records,
    refuse_overwriting,
    verify,
)
from kmax_deeplab.data.format.categories import Categories
from tests.d2.evaluation.outputs import CAT_BOX, found_instances, result, run, sem_seg


def config(**switches):
    """A config with only the given outputs on."""
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    for key in ("PANOPTIC_ON", "SEMANTIC_ON", "INSTANCE_ON"):
        cfg.MODEL.KMAX_DEEPLAB.TEST[key] = switches.get(key, False)
    return cfg


@pytest.mark.parametrize(
    ("key", "place"), [("SEMANTIC_ON", "sem_seg_root"), ("INSTANCE_ON", "json_file")]
)
def test_official_ground_truth_that_is_missing_is_named_with_the_remedy(
    dataset, tmp_path, key, place
):
    setattr(MetadataCatalog.get(dataset.entry["name"]), place, str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/nowhere.*datasets/README.md.*{key}"):
        build_evaluator(config(**{key: True}), dataset.entry["name"], str(tmp_path))


def test_a_dataset_that_is_not_panoptic_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'voc_2007_val' has no panoptic_json"):
        build_evaluator(config(PANOPTIC_ON=True), "voc_2007_val", str(tmp_path))


def test_a_config_without_outputs_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        build_evaluator(config(), dataset.entry["name"], str(tmp_path))


def test_instances_are_compared_with_an_instance_json_where_the_dataset_has_one(dataset, tmp_path):
    rows, columns = CAT_BOX
    box = [columns.start, rows.start, 24, 32]
    left, top, right, bottom = box[0], box[1], columns.stop, rows.stop
    polygon = [left, top, right, top, right, bottom, left, bottom]
    annotations = [
        {"id": i, "image_id": i, "category_id": 3, "iscrowd": 0, "area": 24 * 32, "bbox": box}
        | {"segmentation": [polygon]}
        for i in (1, 2)
    ]
    images = [{"id": i, "height": 64, "width": 48} for i in (1, 2)]
    content = {"images": images, "annotations": annotations}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({**content, "categories": [{"id": 3, "name": "cat"}]}))
    MetadataCatalog.get(dataset.entry["name"]).json_file = str(path)
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances()})
    assert numbers["segm"]["AP"] == numbers["segm"]["AP-cat"] == pytest.approx(100)
    annotations[1]["iscrowd"] = "0"
    path.write_text(json.dumps({**content, "categories": [{"id": 3, "name": "cat"}]}))
    with pytest.raises(ValueError, match=r"instances\.json: annotations\[1\]: iscrowd is '0'"):
        run(evaluator, {"instances": found_instances()}, {"instances": found_instances()})


def test_without_an_instance_json_the_segments_of_things_are_the_ground_truth(dataset, tmp_path):
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances(3)})
    # IoU 29/35 = 0.83: the shifted cat is right at 7 of the 10 thresholds.
    assert numbers["segm"]["AP50"] == pytest.approx(100)
    # At the others recall ends at one half: 51 of the 101 points of the curve.
    assert numbers["segm"]["AP"] == pytest.approx(100 * (7 + 3 * 51 / 101) / 10)
    crowded = dataset.content["annotations"][1]["segments_info"][1]
    crowded["iscrowd"] = 1
    dataset.write_json()
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances(3)})
    assert numbers["segm"]["AP"] == pytest.approx(100)  # what lies on a crowd is not counted


def test_nothing_found_is_an_ap_of_zero(dataset, tmp_path):
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    nothing = {"instances": found_instances()[:0]}
    assert run(evaluator, nothing, nothing)["segm"]["AP"] == 0


def run_semantic(dataset, folder, *results):
    evaluator = build_evaluator(config(SEMANTIC_ON=True), dataset.entry["name"], str(folder))
    evaluator.reset()
    files = [str(dataset.root / f"images/part/{number}.jpg") for number in range(len(results))]
    for file, output in zip(files, results, strict=True):
        evaluator.process([{"file_name": file}], [output])
    return evaluator.evaluate()["sem_seg"]


def test_without_semantic_pngs_the_classes_of_the_segments_are_the_ground_truth(dataset, tmp_path):
    numbers = run_semantic(dataset, tmp_path, sem_seg(), sem_seg(shift=4))
    cat, moved, sky = 32 * 24, 4 * 24, 64 * 48 - 64 - 32 * 24
    cat_iou = (2 * cat - moved) / (2 * cat + moved)
    sky_iou = (2 * sky - moved) / (2 * sky + moved)  # the unlabelled corner counts nowhere
    assert numbers["IoU-cat"] == pytest.approx(100 * cat_iou)
    assert numbers["IoU-sky"] == pytest.approx(100 * sky_iou)
    assert numbers["mIoU"] == pytest.approx(50 * (cat_iou + sky_iou))
    assert 0 < numbers["BoundaryIoU-cat"] < numbers["IoU-cat"]
    assert not (tmp_path / "sem_seg_predictions.json").exists()


def test_semantic_pngs_are_the_ground_truth_where_the_dataset_has_them(dataset, tmp_path):
    truth = np.zeros((64, 48), dtype=np.uint8)  # nothing but sky
    for number in (0, 1):
        dataset.write_image(f"semantic/part/{number}.png", truth)
    MetadataCatalog.get(dataset.entry["name"]).sem_seg_root = str(dataset.root / "semantic")
    numbers = run_semantic(dataset, tmp_path, sem_seg(), sem_seg())
    assert numbers["mIoU"] == pytest.approx(100 * (1 - 32 * 24 / (64 * 48)))
    dataset.write_image("semantic/part/1.png", truth + 7)
    with pytest.raises(ValueError, match=r"part/1\.png: a semantic PNG .* this one \[7\]"):
        run_semantic(dataset, tmp_path, sem_seg(), sem_seg())


def test_a_part_of_a_dataset_is_spread_over_it_and_scored_alone(
    tiny_dataset, tmp_path, logged, caplog
):
    caplog.set_level(logging.INFO, "kmax_deeplab")
    dataset = tiny_dataset((1, 2, 3, 4))
    register_panoptic(**dataset.entry)
    cfg = config(PANOPTIC_ON=True, INSTANCE_ON=True)
    cfg.TEST.MAX_IMAGES = 2
    name = dataset.entry["name"]
    assert [record["image_id"] for record in evaluated_records(cfg, name)] == [1, 3]
    evaluator = build_evaluator(cfg, name, str(tmp_path))
    evaluator.reset()
    for image_id in (1, 3):
        output = {**result(), "instances": found_instances()}
        evaluator.process([{"image_id": image_id}], [output])
    results = evaluator.evaluate()
    assert results["panoptic_seg"]["PQ"] == results["segm"]["AP"] == pytest.approx(100)
    assert json.loads((tmp_path / "results.json").read_text())["num_images"] == 2
    assert any("the figures are of 2 images" in message for message in logged)


def test_expected_results_pass_or_end_the_run(dataset):
    cfg = config()
    results = {"panoptic_seg": {"PQ": 53.3}, "sem_seg": {"mIoU": float("nan")}}
    cfg.TEST.EXPECTED_RESULTS = [["panoptic_seg", "PQ", 53.2, 0.2]]
    verify(cfg, results)
    for expected in (["panoptic_seg", "PQ", 53.0, 0.2], ["sem_seg", "mIoU", 1.0, 9.0]):
        cfg.TEST.EXPECTED_RESULTS = [expected]
        with pytest.raises(SystemExit):
            verify(cfg, results)
    cfg.TEST.EXPECTED_RESULTS = [["segm", "AP", 40.0, 1.0]]
    with pytest.raises(KeyError, match=r"\['segm'\]; there are \['panoptic_seg', 'sem_seg'\]"):
        verify(cfg, results)


def test_expected_results_of_several_datasets_name_the_dataset():
    cfg = config()
    cfg.DATASETS.TEST = ("one", "two")
    cfg.TEST.EXPECTED_RESULTS = [["two/panoptic_seg", "PQ", 10.0, 0.1]]
    verify(cfg, {"one": {"panoptic_seg": {"PQ": 90.0}}, "two": {"panoptic_seg": {"PQ": 10.0}}})


def test_a_class_that_the_split_does_not_list_is_never_the_semantic_answer(dataset, tmp_path):
    name = dataset.entry["name"]
    expected = run_semantic(dataset, tmp_path, sem_seg(shift=4), sem_seg())
    dog = {"id": 8, "name": "dog", "isthing": 1}
    align_dataset(name, Categories.from_json([*dataset.content["categories"], dog]))
    dogs = torch.full((1, 64, 48), 9.0)
    more = (torch.cat([s["sem_seg"], dogs]) for s in (sem_seg(shift=4), sem_seg()))
    numbers = run_semantic(dataset, tmp_path, *({"sem_seg": scores} for scores in more))
    assert numbers["mIoU"] == expected["mIoU"] < 100


def test_more_segments_than_queries_are_counted_where_images_are_seen_whole(
    dataset, tmp_path, logged
):
    counted = "2 of 2 images have more segments than the model has queries, 1"
    cfg = config(PANOPTIC_ON=True)
    cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES = 1
    cfg.INPUT.TILE_TEST = 32
    build_evaluator(cfg, dataset.entry["name"], str(tmp_path))
    assert not any(counted in message for message in logged)
    cfg.INPUT.TILE_TEST = 0
    build_evaluator(cfg, dataset.entry["name"], str(tmp_path))
    assert any(counted in message for message in logged)


@pytest.mark.parametrize("place", ["predictions/a/b.png", "pictures/x.jpg", "predictions.json"])
def test_results_never_replace_files_of_the_dataset(dataset, tmp_path, place):
    metadata = MetadataCatalog.get(dataset.entry["name"])
    record = {"file_name": str(tmp_path / "x.jpg"), "pan_seg_file_name": str(tmp_path / "x.png")}
    out = tmp_path / "out"
    out.symlink_to(tmp_path)  # the same folder by another name
    refuse_overwriting(str(out), metadata, [record])
    file = str(tmp_path / place)
    for key in record:
        with pytest.raises(ValueError, match=rf"{file} of dataset .* choose another OUTPUT_DIR"):
            refuse_overwriting(str(out), metadata, [record | {key: file}])
    with pytest.raises(ValueError, match=rf"{file} of dataset 'x' lies where results go"):
        refuse_overwriting(str(out), Metadata(name="x", panoptic_json=file), [])


def test_ground_truth_on_its_side_is_refused_by_every_evaluator(dataset, tmp_path):
    dataset.write_ids("pngs/0/same.png", dataset.ids().T)
    name, told = dataset.entry["name"], r"0/same\.png is 48 pixels high and 64 wide, its image 64"
    for key, output in (
        ("PANOPTIC_ON", result()),
        ("INSTANCE_ON", {"instances": found_instances()}),
        ("SEMANTIC_ON", sem_seg()),
    ):
        evaluator = build_evaluator(config(**{key: True}), name, str(tmp_path))
        evaluator.reset()
        file = str(dataset.root / "images/part/0.jpg")
        with pytest.raises(ValueError, match=told):
            evaluator.process([{"image_id": 1, "file_name": file}], [output])


def test_numbers_and_texts_name_images_of_one_dataset(tiny_dataset, tmp_path):
    dataset = tiny_dataset((1, "a", "1", 2**70))
    register_panoptic(**dataset.entry)
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    evaluator.reset()
    for image_id in (1, "a", "1", 2**70):
        evaluator.process([{"image_id": image_id}], [{"instances": found_instances()}])
    assert evaluator.evaluate()["segm"]["AP"] == pytest.approx(100)


def test_semantic_predictions_appear_when_they_are_complete(dataset, tmp_path):
    cfg = config(SEMANTIC_ON=True)
    cfg.TEST.SAVE_PREDICTIONS = True
    evaluator = build_evaluator(cfg, dataset.entry["name"], str(tmp_path))
    evaluator.reset()
    for number in (0, 1):
        evaluator.process(
            [{"file_name": str(dataset.root / f"images/part/{number}.jpg")}], [sem_seg()]
        )
    evaluator.evaluate()
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"results.json", "sem_seg_predictions.json", "sem_seg_evaluation.pth"}
    assert len(json.loads((tmp_path / "sem_seg_predictions.json").read_text())) == 4


def test_a_dataset_of_stuff_alone_has_no_instance_figures(dataset, tmp_path):
    listed = [{**category, "isthing": 0} for category in dataset.content["categories"]]
    dataset.content["categories"] = listed
    dataset.write_json()
    MetadataCatalog.get(dataset.entry["name"]).describe(
        Categories.from_json(dataset.content["categories"])
    )
    evaluator = build_evaluator(config(INSTANCE_ON=True), dataset.entry["name"], str(tmp_path))
    numbers = run(evaluator, {"instances": found_instances()}, {"instances": found_instances()})
    assert np.isnan(numbers["segm"]["AP"])


def test_panoptic_datasets_of_others_are_evaluated_whatever_they_call_their_evaluator(
    dataset, tmp_path
):
    known = MetadataCatalog.get(dataset.entry["name"])
    places = {key: known.get(key) for key in ("panoptic_json", "panoptic_root", "image_root")}
    DatasetCatalog.register("mapillary_like", lambda: DatasetCatalog.get(dataset.entry["name"]))
    MetadataCatalog.get("mapillary_like").set(
        evaluator_type="mapillary_vistas_panoptic_seg", categories=known.categories, **places
    )
    evaluator = build_evaluator(config(PANOPTIC_ON=True), "mapillary_like", str(tmp_path))
    assert run(evaluator, result(), result())["panoptic_seg"]["PQ"] == 100
