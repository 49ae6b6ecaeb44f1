import numpy as np
import pytest

from kmax_deeplab.data.samples.segments import Segment
from kmax_deeplab.data.samples.targets import has_enough_labels, make_targets
from kmax_deeplab.structures import VOID, Targets

SKY, CAT = Segment(4, False), Segment(2, True)


def test_targets_name_classes_of_segments_and_pixels():
    grid_map = np.array([[0, 1, VOID], [VOID, VOID, 0]], np.int32)
    targets = make_targets(grid_map, (SKY, CAT))
    assert targets.segment_map.tolist() == [[[0, 1, VOID], [VOID, VOID, 0]]]
    assert targets.classes.tolist() == [4, 2]
    assert targets.semantic.tolist() == [[4, 2, VOID], [VOID, VOID, 4]]


def test_targets_equal_binary_masks_stacked():
    rng = np.random.default_rng(0)
    segments = tuple(Segment(category, True) for category in range(5))
    targets = make_targets(rng.integers(VOID, 5, (9, 17)).astype(np.int32), segments)
    masks = (targets.segment_map == targets.classes[:, None, None]).clone()
    stacked = Targets.from_masks(targets.classes, masks, targets.semantic)
    assert (stacked.segment_map == targets.segment_map).all()
    assert targets.segment_map.shape == (1, 9, 17)


def test_an_image_without_labels_has_no_segments():
    targets = make_targets(np.full((2, 2), VOID, np.int32), ())
    assert targets.classes.shape == (0,) and (targets.semantic == VOID).all()
    assert not has_enough_labels(targets)


@pytest.mark.parametrize(("pixels", "enough"), [(4096, False), (4097, True)])
def test_a_sample_of_1281_pixels_needs_more_than_4096_labels(pixels, enough):
    grid_map = np.full((321, 321), VOID, np.int32)
    grid_map.flat[:pixels] = 0
    assert has_enough_labels(make_targets(grid_map, (SKY,))) is enough


def test_smaller_samples_need_the_same_share_of_labels():
    grid_map = np.full((25, 25), VOID, np.int32)
    grid_map[0, :24] = 0  # 24 of 625 grid pixels are 3.84%, the limit is 3.975%
    assert not has_enough_labels(make_targets(grid_map, (SKY,)))
    grid_map[0, :] = 0
    assert has_enough_labels(make_targets(grid_map, (SKY,)))
