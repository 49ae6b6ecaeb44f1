import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.visualize.cluster_maps import assignment_map, paint_assignment, query_palette


def test_every_pixel_goes_to_the_query_with_the_largest_logit():
    mask_logits = np.array([[[3.0, 1.0]], [[2.0, 4.0]]])  # two queries, one row, two columns
    clusters = assignment_map(mask_logits, Geometry((2, 4), (2, 4), (2, 4)))
    assert clusters.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_on_aligned_grids_the_nearest_grid_point_decides():
    mask_logits = np.eye(3)[:, None, :]  # column n belongs to query n; stride 4 on 9 pixels
    clusters = assignment_map(mask_logits, Geometry((9, 9), (9, 9), (9, 9)))
    assert clusters[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_padding_is_cut_off():
    mask_logits = np.arange(2.0)[None, None, :] * np.array([1.0, -1.0])[:, None, None] - 0.5
    wide = assignment_map(mask_logits, Geometry(padded=(8, 16), image=(8, 8), output=(8, 8)))
    assert wide.shape == (8, 8)


@pytest.mark.parametrize("padded", [(33, 33), (32, 32)])
def test_the_map_is_a_nearest_version_of_the_bilinear_resize(padded):
    torch.manual_seed(0)
    mask_logits = F.interpolate(torch.randn(1, 4, 3, 3), (9, 9), mode="bicubic")
    clusters = assignment_map(mask_logits[0].numpy(), Geometry(padded, padded, padded))
    align_corners = padded[1] % 2 == 1
    smooth = F.interpolate(mask_logits, padded, mode="bilinear", align_corners=align_corners)
    assert (clusters == smooth[0].argmax(0).numpy()).mean() > 0.85


def test_permuting_queries_permutes_the_map():
    mask_logits = np.random.default_rng(0).normal(size=(5, 4, 4))
    geometry = Geometry((16, 16), (16, 16), (16, 16))
    order = np.array([3, 0, 4, 1, 2])
    permuted = assignment_map(mask_logits[order], geometry)
    assert (order[permuted] == assignment_map(mask_logits, geometry)).all()


def test_query_colours_are_distinct_and_independent_of_their_number():
    palette = query_palette(256)
    assert len(np.unique(palette, axis=0)) == 256
    assert (query_palette(7) == palette[:7]).all()


def test_the_picture_shows_one_colour_per_query_shaded_by_the_image(image):
    white = np.full_like(image, 255)
    clusters = np.repeat([[0, 1]], 30, axis=1).repeat(40, axis=0)
    picture = paint_assignment(clusters, white)
    assert (picture[:, :30] == query_palette(2)[0]).all()
    assert (picture[:, 30:] == query_palette(2)[1]).all()
    assert (paint_assignment(np.zeros_like(clusters), image) <= picture[0, 0]).all()


def test_logits_of_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"\(Q, h, w\)"):
        assignment_map(np.zeros((1, 2, 3, 3)), Geometry((9, 9), (9, 9), (9, 9)))
