"""Resizing in blocks against two plain resizes of the full maps."""

import pytest
import torch
import torch.nn.functional as F

from kmax_deeplab.postprocessing import resize
from kmax_deeplab.postprocessing.resize import Geometry, axis_taps, resized_blocks


def resize_twice(mask_logits, geometry):
    """The obvious version: to the padded size, crop, to the output size."""
    options = {"mode": "bilinear", "align_corners": geometry.padded[1] % 2 == 1}
    canvas = F.interpolate(mask_logits[None], geometry.padded, **options)
    rows, columns = geometry.content
    return F.interpolate(canvas[..., :rows, :columns], geometry.output, **options)[0]


@pytest.mark.parametrize(
    ("grid", "padded", "image", "output"),
    [
        ((9, 17), (33, 65), (33, 65), (40, 80)),
        ((17, 17), (65, 65), (65, 48), (64, 47)),
        ((16, 16), (64, 64), (36, 64), (50, 90)),
        ((16, 24), (64, 96), (40, 60), (20, 30)),  # fills neither side
        ((33, 33), (33, 33), (33, 6), (70, 12)),
        ((9, 17), (33, 65), (33, 17), (80, 40)),  # taller than the padded input
        ((50, 60), (33, 41), (20, 25), (35, 43)),
    ],
)
def test_blocks_equal_two_resizes_with_a_crop_between(grid, padded, image, output, monkeypatch):
    monkeypatch.setattr(resize, "CPU_BLOCK_VALUES", 1000)
    geometry = Geometry(padded, image, output)
    mask_logits = torch.randn(5, *grid, generator=torch.Generator().manual_seed(0))
    ranges, blocks = zip(*resized_blocks(mask_logits, geometry), strict=True)
    assert len(blocks) > 1
    assert [r.start for r in ranges] == [0, *(r.stop for r in ranges[:-1])]
    logits = torch.cat(blocks).T.unflatten(1, output)
    torch.testing.assert_close(logits, resize_twice(mask_logits, geometry), atol=1e-5, rtol=1e-5)


def test_the_content_follows_the_resize_ratio_of_the_image_and_halves_round_to_even():
    assert Geometry((641, 641), (641, 480), (640, 479)).content == (641, 480)
    assert Geometry((513, 1025), (513, 1025), (1024, 2048)).content == (512, 1025)  # 512.5 rows
    assert Geometry((65, 65), (1, 65), (1, 1000)).content == (1, 65)
    assert Geometry((97, 193), (97, 97), (96, 96)).content == (97, 97)
    assert Geometry((129, 129), (65, 40), (130, 80)).content == (65, 40)


def test_refining_by_a_whole_stride_needs_two_taps():
    positions, weights = axis_taps(5, 17, 17, 40, align_corners=True)
    assert positions.shape == weights.shape == (40, 2)
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
