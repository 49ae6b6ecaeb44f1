"""Merging in numpy finds what merging in PyTorch finds, and its tables are PyTorch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kmax_deeplab.benchmark.synthetic import head_outputs
from kmax_deeplab.postprocessing.geometry import Geometry, axis_weights
from kmax_deeplab.postprocessing.image import postprocess
from kmax_deeplab.runtime.merging import find_segments
from kmax_deeplab.structures import MergeThresholds

GEOMETRIES = [
    Geometry((129, 129), (97, 129), (150, 200)),
    Geometry((128, 160), (128, 120), (31, 29)),
    Geometry((65, 65), (65, 65), (1, 1)),
]
THRESHOLDS = [
    MergeThresholds(0.7, 0.5),
    MergeThresholds(0.1, 0.0, pixel=0.1, overlap=0.3, class_power=1.5, mask_power=0.5),
    MergeThresholds(0.0, 0.0, pixel=0.6),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("thresholds", THRESHOLDS)
def test_maps_and_segments_are_those_of_pytorch(geometry, thresholds):
    generator = torch.Generator().manual_seed(3)
    grid = tuple(-(-side // 4) for side in geometry.padded)
    logits = head_outputs(24, 6, grid, generator)
    is_thing = torch.tensor([True, False, True, False, False, True])
    expected, described = postprocess(*logits, geometry, thresholds, is_thing).panoptic
    ids, segments = find_segments(
        *(x.numpy() for x in logits), geometry, thresholds, is_thing.numpy()
    )
    assert np.array_equal(ids, expected.numpy())
    assert ids.dtype == np.int32
    scores = [segment.pop("score") for segment in segments]
    assert scores == pytest.approx([segment.pop("score") for segment in described], abs=1e-5)
    assert segments == described


def test_an_image_in_which_nothing_is_found_is_void():
    masks, classes = np.zeros((8, 17, 17), np.float32), np.zeros((8, 3), np.float32)
    found = find_segments(
        classes, masks, GEOMETRIES[2], MergeThresholds(0.5, 0.5), np.array([True, False])
    )
    assert found[0].tolist() == [[0]]
    assert found[1] == []


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("sizes", [(33, 129, 97, 150), (32, 128, 128, 31), (17, 65, 1, 5)])
def test_the_weights_of_an_axis_are_those_of_two_resizes_by_pytorch(sizes, align_corners):
    source, padded, content, output = sizes
    canvas = F.interpolate(
        torch.eye(source)[None], size=padded, mode="linear", align_corners=align_corners
    )
    expected = F.interpolate(
        canvas[..., :content], size=output, mode="linear", align_corners=align_corners
    )
    found = axis_weights(*sizes, align_corners)
    assert np.abs(found - expected[0].T.numpy()).max() < 1e-5
    assert found.dtype == np.float32
