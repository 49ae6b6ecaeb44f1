import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset
from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.data.mapper import TrainMapper
from tests.d2.data.plain_mapper import StraightforwardMapper


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Five images, in each of which a segment is a crowd."""
    folder = tmp_path_factory.mktemp("data") / "set"
    places = write_synthetic_dataset(folder, 5, (150, 203), torch.Generator().manual_seed(0))
    register_panoptic(str(folder), **places)
    found = DatasetCatalog.get(str(folder))
    for record in found:
        record["segments_info"][2]["iscrowd"] = 1
    yield found
    DatasetCatalog.remove(str(folder))
    MetadataCatalog.remove(str(folder))


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "none"])
def test_both_mappers_make_the_same_samples(records, flip):
    settings = {
        "image_size": (129, 161),
        "scale_range": (0.9, 3.0),
        "flip": flip,
    }
    fast = TrainMapper(records, "set", **settings)
    plain = StraightforwardMapper(records, "set", **settings)
    for seed in range(12):
        ours, theirs = (mapper(records[seed % 5], seed=seed) for mapper in (fast, plain))
        for key in ("segment_map", "classes", "semantic"):
            assert torch.equal(getattr(ours["targets"], key), getattr(theirs["targets"], key))
        assert torch.equal(ours["is_real_pixels"], theirs["is_real_pixels"])
        assert ours["image_id"] == theirs["image_id"]
        difference = np.abs(ours["image"].numpy().astype(int) - theirs["image"].numpy())
        assert difference.mean() < 1  # rounding, which the jitter of hues may blow up


def test_samples_shrunk_so_far_that_jpegs_are_read_reduced_look_alike(records):
    settings = {"image_size": (129, 161), "scale_range": (0.4, 0.6)}
    fast = TrainMapper(records, "set", **settings)
    plain = StraightforwardMapper(records, "set", **settings)
    for seed in range(12):
        ours, theirs = (mapper(records[seed % 5], seed=seed) for mapper in (fast, plain))
        assert torch.equal(ours["targets"].segment_map, theirs["targets"].segment_map)
        difference = np.abs(ours["image"].numpy().astype(int) - theirs["image"].numpy())
        assert difference.mean() < 3
