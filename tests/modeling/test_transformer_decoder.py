"""The k-means step and the decoder around it."""

import torch

from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.mask_predictor import compare_pixels
from kmax_deeplab.modeling.transformer_decoder import (
    TransformerDecoder,
    _add_by_product,
    _add_by_scattering,
    sum_pixels_of_clusters,
)


def test_the_update_sums_the_pixels_of_each_cluster():
    assignment = torch.tensor([[[0, 2], [2, 2]]])
    values = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]])
    expected = torch.tensor([[[1.0, 0.0, 9.0], [10.0, 0.0, 90.0]]])
    assert torch.equal(sum_pixels_of_clusters(assignment, values, 3), expected)


def _decoder(num_queries: int = 5) -> TransformerDecoder:
    torch.manual_seed(0)
    return TransformerDecoder(
        [8, 8, 8, 16], 3, num_queries=num_queries, depths=[1, 1, 1], norm=make_norm()
    )


def _features() -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(8, 3), (8, 5), (8, 9), (16, 17)]
    *features, finest = [torch.randn(2, c, s, s, generator=generator) for c, s in sizes]
    return features, finest


def test_every_layer_predicts_at_its_own_resolution_and_the_last_is_the_finest():
    predictions = _decoder()(*_features())
    assert [p.mask_logits.shape for p in predictions] == [(2, 5, s, s) for s in (3, 5, 9, 17)]
    assert all(p.class_logits.shape == (2, 5, 4) for p in predictions)
    for p in predictions:
        norms = p.pixel_feature.norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


def test_permuting_the_queries_permutes_the_predictions():
    decoder = _decoder().eval()
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        before = decoder(*_features())[-1]
        decoder.cluster_centers.weight.copy_(decoder.cluster_centers.weight[:, order])
        after = decoder(*_features())[-1]
    torch.testing.assert_close(after.mask_logits, before.mask_logits[:, order])
    torch.testing.assert_close(after.class_logits, before.class_logits[:, order])


def test_the_assignment_carries_no_gradient():
    decoder = _decoder()
    layer = decoder.kmax_transformer_layers[0]
    torch.nn.init.ones_(layer.kmeans_query_conv3_bn.norm.weight)
    features, _ = _features()
    centers, _ = layer(decoder.cluster_centers.weight.expand(2, -1, -1), features[0])
    centers.square().sum().backward()
    assert layer.predictor.transformer_mask_head.conv.weight.grad is None
    assert layer.pixel_v_conv_bn.conv.weight.grad.any()


def test_queries_start_out_as_void():
    with torch.no_grad():
        logits = _decoder().eval()(*_features())[-1].class_logits
    assert (logits.softmax(-1)[..., -1] > 0.85).all()


def test_the_product_with_the_assignment_adds_up_the_same_pixels():
    assignment, values = torch.randint(0, 5, (2, 40)), torch.randn(2, 3, 40, requires_grad=True)
    sums = [add(assignment, values, 6) for add in (_add_by_scattering, _add_by_product)]
    torch.testing.assert_close(*sums)
    assert not sums[1][:, :, 5].any()
    weight = torch.randn(2, 3, 6)
    gradients = [torch.autograd.grad((each * weight).sum(), values) for each in sums]
    torch.testing.assert_close(*gradients)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(_add_by_product(assignment, values, 6), sums[1])


def test_mask_logits_of_bfloat16_features_are_computed_in_float32():
    pixels, kernels = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 5)
    exact = compare_pixels(pixels.bfloat16().float(), kernels.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compare_pixels(pixels.bfloat16(), kernels.bfloat16()), exact)
