import numpy as np
import pytest

from kmax_deeplab.data.labelled_image import LabelledImage, Segment
from kmax_deeplab.data.targets import has_enough_labels, make_targets
from kmax_deeplab.structures import VOID, Targets

SKY, CAT = Segment(4, False), Segment(2, True)


def labelled(segment_map, segments):
    image = np.zeros((*segment_map.shape, 3), np.uint8)
    return LabelledImage(image, segment_map, segments, np.ones(segment_map.shape, bool))


def test_targets_take_every_fourth_pixel_from_the_first():
    segment_map = np.full((6, 9), VOID, np.int32)
    segment_map[0, 0] = segment_map[4, 8] = 0
    segment_map[0, 4] = 1
    segment_map[1:4, 1:4] = 2  # between the grid's pixels
    targets = make_targets(labelled(segment_map, (SKY, CAT, CAT)))
    assert targets.segment_map.tolist() == [[[0, 1, VOID], [VOID, VOID, 0]]]
    assert targets.classes.tolist() == [4, 2]
    assert targets.semantic.tolist() == [[4, 2, VOID], [VOID, VOID, 4]]


def test_two_stuff_segments_of_a_class_are_one_target():
    segment_map = np.repeat(np.repeat(np.array([[0, 1, 2, 3]], np.int32), 4, 0), 4, 1)
    targets = make_targets(labelled(segment_map, (SKY, CAT, SKY, CAT)))
    assert targets.segment_map.tolist() == [[[0, 1, 0, 2]]]
    assert targets.classes.tolist() == [4, 2, 2]


def test_targets_equal_binary_masks_stacked():
    rng = np.random.default_rng(0)
    segments = tuple(Segment(category, True) for category in range(5))
    segment_map = rng.integers(VOID, 5, (33, 65)).astype(np.int32)
    targets = make_targets(labelled(segment_map, segments))
    masks = (targets.segment_map == targets.classes[:, None, None]).clone()
    stacked = Targets.from_masks(targets.classes, masks, targets.semantic)
    assert (stacked.segment_map == targets.segment_map).all()
    assert targets.segment_map.shape == (1, 9, 17)


def test_an_image_without_labels_has_no_segments():
    targets = make_targets(labelled(np.full((8, 8), VOID, np.int32), ()))
    assert targets.classes.shape == (0,) and (targets.semantic == VOID).all()
    assert not has_enough_labels(targets)


@pytest.mark.parametrize(("pixels", "enough"), [(4096, False), (4097, True)])
def test_a_sample_of_1281_pixels_needs_more_than_4096_labels(pixels, enough):
    segment_map = np.full((1281, 1281), VOID, np.int32)
    grid = segment_map[::4, ::4]
    grid[np.unravel_index(np.arange(pixels), grid.shape)] = 0
    assert has_enough_labels(make_targets(labelled(segment_map, (SKY,)))) is enough


def test_smaller_samples_need_the_same_share_of_labels():
    segment_map = np.full((97, 97), VOID, np.int32)
    segment_map[0, : 4 * 24] = 0  # 24 of 625 grid pixels are 3.84%, the limit is 3.975%
    assert not has_enough_labels(make_targets(labelled(segment_map, (SKY,))))
    segment_map[0, :] = 0
    assert has_enough_labels(make_targets(labelled(segment_map, (SKY,))))
