"""Training data that stays in its archives."""

from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.data.examine import examine
from kmax_deeplab.d2.data.mapper import TrainMapper
from kmax_deeplab.d2.data.stream import TrainingStream, make_loader
from tests.packed import pack, truncate_archive


@pytest.fixture
def packed(dataset):
    """The entry of a dataset of which images and PNGs lie in zips, registered."""
    places = {key: str(pack(Path(dataset.entry[key]))) for key in ("images", "pngs")}
    entry = {**dataset.entry, **places, "name": f"{dataset.entry['name']}_zips"}
    register_panoptic(**entry)
    yield entry
    DatasetCatalog.remove(entry["name"])
    MetadataCatalog.remove(entry["name"])


def stream_of(name):
    records = DatasetCatalog.get(name)
    return TrainingStream(
        records, TrainMapper(records, name, image_size=(65, 97), scale_range=(0.5, 2.0)), 5
    )


def assert_same(first, second):
    for key in ("image", "is_real_pixels"):
        assert torch.equal(first[key], second[key])
    for key in ("segment_map", "classes", "semantic"):
        assert torch.equal(getattr(first["targets"], key), getattr(second["targets"], key))


def test_samples_from_zips_are_those_from_folders_byte_for_byte(dataset, packed):
    unpacked, stream = stream_of(dataset.entry["name"]), stream_of(packed["name"])
    for position in range(8):
        assert_same(stream[position], unpacked[position])
    assert stream[0]["file_name"].startswith(packed["images"])


@pytest.mark.slow
def test_loading_processes_read_one_zip_at_once(dataset, packed):
    unpacked, stream = stream_of(dataset.entry["name"]), stream_of(packed["name"])
    assert_same(stream[0], unpacked[0])  # what a forked process inherits is in use
    loader = make_loader(stream, range(24), batch=1, workers=2)
    for position, (sample,) in enumerate(loader):
        assert_same(sample, unpacked[position])
    assert position == 23


def test_a_run_looks_into_zips_before_it_starts(dataset, packed):
    assert examine(packed["name"]) == examine(dataset.entry["name"])
    dataset.content["images"][0]["file_name"] = "part/7.jpg"
    dataset.write_json()
    with pytest.raises(ValueError, match=r"images\.zip/images/part/7\.jpg: does not exist, but"):
        examine(packed["name"])
    archive = Path(packed["pngs"]).parent
    truncate_archive(archive)
    match = rf"{packed['pngs']}: {archive} is no whole zip .*: download or copy it again"
    with pytest.raises(ValueError, match=match):
        examine(packed["name"])
    with pytest.raises(OSError, match=rf"{archive} is no whole zip"):
        DatasetCatalog.get(packed["name"])
