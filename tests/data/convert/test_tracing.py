import numpy as np
import pytest

from kmax_deeplab.data.convert.masks import decode_mask
from tests.data.convert.tracing import join, trace


def polygon(line):
    return [value for corner in line for value in corner]


def test_a_pixel_has_four_corners_and_a_ring_two_lines():
    mask = np.zeros((5, 6), bool)
    mask[1, 2] = True
    assert sorted(trace(mask)[0]) == [(2, 1), (2, 2), (3, 1), (3, 2)]
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert sorted(map(len, trace(ring))) == [4, 4]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 1.0])
def test_joined_lines_give_any_mask_again_by_cocos_rule(share):
    rng = np.random.default_rng(0)
    for size in ((1, 1), (7, 9), (33, 21), (40, 60)):
        mask = rng.random(size) < share
        lines = trace(mask)
        if lines:
            assert (decode_mask([polygon(join(lines))], size) == mask).all()
