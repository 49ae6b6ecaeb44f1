import pickle
import random
import re

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.projects.deeplab import add_deeplab_config
from PIL import Image

from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.keys import add_kmax_deeplab_config
from kmax_deeplab.d2.data import mapper as mapper_module
from kmax_deeplab.d2.data.augmentations import build_augmentations
from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.data.mapper import EvaluationMapper, TrainMapper, build_train_mapper
from kmax_deeplab.data.samples.segments import Segment
from kmax_deeplab.data.samples.view import crop_labels
from kmax_deeplab.structures import VOID


def records_of(dataset):
    register_panoptic(**dataset.entry)
    return DatasetCatalog.get(dataset.entry["name"])


def build(records, **changes):
    settings = {"image_size": (65, 97), "scale_range": (0.5, 2.0), **changes}
    return TrainMapper(records, "tiny", **settings)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in ("image", "is_real_pixels"):
        assert torch.equal(first[key], second[key])
    for key in ("segment_map", "classes", "semantic"):
        assert torch.equal(getattr(first["targets"], key), getattr(second["targets"], key))


def test_a_sample_has_the_sizes_the_model_takes(tiny_dataset):
    records = records_of(tiny_dataset())
    sample = build(records)(records[0], seed=1)
    assert sample["image"].shape == (3, 65, 97) and sample["image"].dtype == torch.uint8
    assert sample["is_real_pixels"].shape == (65, 97)
    targets = sample["targets"]
    assert targets.segment_map.shape == (1, 17, 25) and targets.semantic.shape == (17, 25)
    assert sorted(set(targets.segment_map.unique().tolist()) - {VOID}) == [
        *range(len(targets.classes))
    ]
    assert set(targets.classes.tolist()) <= {0, 1}
    assert (sample["height"], sample["width"]) == (65, 97)
    assert sample["image_id"] == 1 and sample["file_name"] == records[0]["file_name"]


def test_padding_is_zero_void_and_not_real(tiny_dataset):
    records = records_of(tiny_dataset())
    mapper = build(records, scale_range=(0.5, 0.8))
    for seed in range(5):
        sample = mapper(records[0], seed=seed)
        padded = ~sample["is_real_pixels"]
        assert padded.any() and not padded[0, 0]
        assert (sample["image"][:, padded] == 0).all()
        assert (sample["targets"].semantic[padded[::4, ::4]] == VOID).all()


def test_the_seed_decides_everything_and_leaves_no_trace(tiny_dataset):
    records = records_of(tiny_dataset())
    mapper = build(records)
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = mapper(records[0], seed=2**32 + 5)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    random.seed(9), np.random.seed(9)
    assert_same(first, mapper(records[0], seed=2**32 + 5))
    assert_same(first, pickle.loads(pickle.dumps(mapper))(records[0], seed=2**32 + 5))
    assert not torch.equal(first["image"], mapper(records[0], seed=6)["image"])


def test_without_a_seed_numpys_global_state_decides(tiny_dataset):
    records = records_of(tiny_dataset())
    mapper = build(records)
    np.random.seed(4)
    first, second = mapper(records[0]), mapper(records[0])
    np.random.seed(4)
    assert_same(first, mapper(records[0]))
    assert not torch.equal(first["image"], second["image"])


def test_second_images_come_at_half_the_scale(tiny_dataset):
    mapper = build(records_of(tiny_dataset()))
    main, donor = mapper.main.resize, mapper.donor.resize
    assert (main.min_scale, main.max_scale) == (0.5, 2.0)
    assert (donor.min_scale, donor.max_scale) == (0.25, 1.0)


def test_labels_stay_on_their_pixels():
    stripes = np.repeat(np.arange(300) // 100, 200).reshape(300, 200).astype(np.int32)
    image = Image.fromarray(np.repeat(80 * stripes[..., None].astype(np.uint8), 3, axis=2))
    segments = tuple(Segment(category, True) for category in range(3))
    augmentations = build_augmentations((129, 129), (0.3, 2.0), "fit", "vertical")
    for seed in range(10):
        np.random.seed(seed)
        view = augmentations.draw_view((300, 200))
        moved = crop_labels(view, view.crop(image), stripes, segments)
        categories = np.array([segment.category for segment in moved.segments])
        shown = categories[moved.resize(moved.source_map)]
        assert shown.shape == moved.image.shape[:2]
        assert (np.abs(moved.image[..., 0] - 80.0 * shown) > 40).mean() < 0.01


def test_a_truncated_jpeg_is_left_out_and_told_to_who_counts(tiny_dataset):
    dataset = tiny_dataset((1, 2, 3))
    path = dataset.truncate(1)
    records = records_of(dataset)
    mapper = build(records)
    samples = [mapper(record, seed=seed) for seed in range(5) for record in records]
    assert {sample["image_id"] for sample in samples} == {1, 3}
    told = [sample["left_out"] for sample in samples if sample["left_out"]]
    assert 0 < len(told) < len(samples) and {file for each in told for file in each} == {str(path)}
    assert "cannot be read" in told[0][str(path)]


def test_a_truncated_jpeg_ends_an_evaluation_with_its_name(tiny_dataset):
    dataset = tiny_dataset()
    path = dataset.truncate(1)
    first, second = records_of(dataset)
    cfg = kmax_config()
    cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = "RGB", 96, 128
    mapper = EvaluationMapper(cfg)
    expected = DatasetMapper(cfg, is_train=False)(first)
    assert torch.equal(mapper(first)["image"], expected.pop("image"))
    assert {k: v for k, v in mapper(first).items() if k != "image"} == expected
    with pytest.raises(OSError, match=str(path)):
        mapper(second)


def test_images_that_are_looked_at_in_windows_keep_their_size(tiny_dataset):
    record = records_of(tiny_dataset())[0]
    cfg = kmax_config()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.TILE_TEST = 96, 128, 32
    mapped = EvaluationMapper(cfg)(record)
    assert mapped["image"].shape == (3, record["height"], record["width"])


def test_a_dataset_of_damaged_files_ends_in_an_error(tiny_dataset):
    dataset = tiny_dataset()
    path, _ = dataset.truncate(0), dataset.truncate(1)
    records = records_of(dataset)
    with pytest.raises(RuntimeError, match=rf"tiny: no usable sample in 50 draws.*{path}"):
        build(records)(records[0], seed=0)


def test_a_scale_that_leaves_hardly_anything_labelled_ends_in_an_error(tiny_dataset):
    records = records_of(tiny_dataset())
    with pytest.raises(RuntimeError, match=r"hardly anything was labelled.*INPUT\.MIN_SCALE"):
        build(records, scale_range=(0.1, 0.15))(records[0], seed=0)


def test_a_missing_image_is_named(tiny_dataset):
    dataset = tiny_dataset()
    records = records_of(dataset)
    (dataset.root / "images/part/0.jpg").unlink()
    sample = build(records)(records[0], seed=0)
    assert sample["image_id"] == records[1]["image_id"]
    ((file, reason),) = sample["left_out"].items()
    assert file == records[0]["file_name"] and re.search(r"0\.jpg is missing.*DATASETS", reason)


def test_a_png_with_other_ids_than_the_json_is_named(tiny_dataset):
    dataset = tiny_dataset()
    ids = dataset.ids()
    ids[0, 0] = 77
    dataset.write_ids("pngs/part/0.png", ids)
    dataset.write_ids("pngs/part/1.png", np.zeros((64, 48)))
    records = records_of(dataset)
    for number, complaint in ((0, r"\[77\] are in the PNG"), (1, r"\[300, 70000\] are in the J")):
        found = rf"cannot be used: .*{number}\.png \(of .*{number}\.jpg\).*{complaint}"
        with pytest.raises(RuntimeError, match=found):
            build(records[number : number + 1])(records[number], seed=0)


def test_a_listed_segment_without_pixels_is_left_out_and_reported_once(tiny_dataset, logged):
    dataset = tiny_dataset((1,))
    dataset.write_ids("pngs/part/0.png", np.full((64, 48), 70_000))
    (record,) = records_of(dataset)
    mapper = build([record])
    samples = [mapper(record, seed=seed) for seed in range(3)]
    assert {k for sample in samples for k in sample["targets"].classes.tolist()} == {0}
    (message,) = (message for message in logged if "lacks" in message)
    assert f"{record['pan_seg_file_name']} lacks the listed segments [300]" in message


def test_of_many_pngs_that_lack_segments_the_first_and_tenth_are_named(tiny_dataset, logged):
    dataset = tiny_dataset(tuple(range(11)))
    for number in range(11):
        dataset.write_ids(f"pngs/part/{number}.png", np.full((64, 48), 70_000))
    records = records_of(dataset)
    mapper = build(records)
    for record in records * 2:
        mapper.load(record, mapper.main)
    numbers = [m.split("process: ")[1].split(" ")[0] for m in logged if "lacks" in m]
    assert numbers == ["1", "10"]


def test_a_png_of_grey_labels_and_a_cut_one_are_left_out(tiny_dataset):
    dataset = tiny_dataset((1, 2))
    png = dataset.root / "pngs/part/0.png"
    records = records_of(dataset)
    png.write_bytes(png.read_bytes()[:60])
    for complaint in (
        "cannot be read (image file is truncated)",
        "has mode L, a panoptic PNG has RGB colours",
    ):
        sample = build(records)(records[0], seed=0)
        assert sample["image_id"] == 2
        assert complaint in sample["left_out"][records[0]["file_name"]]
        Image.fromarray(np.full((64, 48), 7, np.uint8)).save(png)


def test_an_image_of_another_size_than_its_png_is_named(tiny_dataset):
    dataset = tiny_dataset((1,))
    dataset.write_image("images/part/0.jpg", np.zeros((64, 40, 3)))
    records = records_of(dataset)
    with pytest.raises(
        RuntimeError, match=r"0\.png is 64 pixels high and 48 wide, its image 64 and 40"
    ):
        build(records)(records[0], seed=0)


def test_an_image_stored_on_its_side_is_turned_before_sizes_are_compared(tiny_dataset):
    dataset = tiny_dataset((1,))
    records = records_of(dataset)
    turned = Image.Exif()
    turned[274] = 6  # orientation: a quarter turn
    dataset.write_image("images/part/0.jpg", np.full((48, 64, 3), 90), exif=turned)
    assert build(records)(records[0], seed=0)["image"].shape == (3, 65, 97)
    dataset.write_image("images/part/0.jpg", np.full((64, 48, 3), 90), exif=turned)
    with pytest.raises(RuntimeError, match="EXIF"):
        build(records)(records[0], seed=0)


def test_images_without_a_label_are_counted_once_and_drawn_anew(tiny_dataset, logged):
    records = records_of(tiny_dataset((1, 2, 3)))
    crowd = [{**segment, "iscrowd": 1} for segment in records[1]["segments_info"]]
    records[1] = {**records[1], "segments_info": crowd}
    mapper = build(records, scale_range=(0.3, 0.6))
    samples = [mapper(records[1], seed=seed) for seed in range(10)]
    assert all((sample["targets"].semantic != VOID).sum() > 0.039 * 425 for sample in samples)
    assert [message for message in logged if "1 of 3 images have no labelled segment" in message]
    assert len([line for line in logged if "no labelled" in line]) == 1


def test_a_dataset_without_any_label_is_refused(tiny_dataset):
    records = [{**record, "segments_info": []} for record in records_of(tiny_dataset())]
    with pytest.raises(ValueError, match="tiny: none of the 2 images has a labelled segment"):
        build(records)


def kmax_config():
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    return cfg


def test_the_config_decides_size_scale_and_flip(tiny_dataset):
    records = records_of(tiny_dataset())
    cfg = kmax_config()
    cfg.DATASETS.TRAIN = ("a", "b")
    cfg.INPUT.IMAGE_SIZE = [65, 33]
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.FORMAT = "RGB"
    mapper = build_train_mapper(cfg, records)
    assert mapper.name == "a + b"
    assert mapper(records[0], seed=0)["image"].shape == (3, 65, 33)
    views = [mapper.main.draw_view((64, 48)) for _ in range(20)]
    assert not any(view.is_mirrored or view.is_upside_down for view in views)


@pytest.mark.parametrize(("paste", "least", "most"), [(0.0, 0, 0), (0.5, 5, 15), (1.0, 20, 20)])
def test_as_many_samples_as_wanted_have_pasted_segments(
    paste, least, most, tiny_dataset, monkeypatch
):
    records = records_of(tiny_dataset())
    cfg = kmax_config()
    cfg.INPUT.IMAGE_SIZE, cfg.INPUT.COPY_PASTE = [65, 65], paste
    mapper = build_train_mapper(cfg, records)
    pasted, donors = [], mapper_module.copy_paste
    monkeypatch.setattr(mapper_module, "copy_paste", lambda *a: pasted.append(a) or donors(*a))
    samples = [mapper(records[0], seed=seed) for seed in range(20)]
    assert least <= len(pasted) <= most
    assert all(sample["image"].shape == (3, 65, 65) for sample in samples)


def test_an_unknown_mapper_name_is_refused():
    cfg = kmax_config()
    cfg.INPUT.DATASET_MAPPER_NAME = "coco_panoptic_lsi"
    with pytest.raises(ValueError, match=r"DATASET_MAPPER_NAME 'coco_panoptic_lsi'.*panoptic_lsj"):
        validate(cfg)


def test_a_missing_png_or_image_is_named_by_its_own_path(tiny_dataset):
    records = records_of(tiny_dataset((1, 2)))
    for key in ("pan_seg_file_name", "file_name"):
        lost = [{**record, key: f"{record[key]}.gone"} for record in records]
        with pytest.raises(
            RuntimeError, match=rf"cannot be used: {re.escape(lost[0][key])} is missing"
        ):
            build(lost)(lost[0], seed=0)
