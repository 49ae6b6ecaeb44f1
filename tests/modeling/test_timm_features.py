"""Models of timm give the promised strides, whatever the image's size."""

import pytest
import timm
import torch

from kmax_deeplab.modeling.timm_features import STRIDES, TimmFeatures, find_features

pytestmark = pytest.mark.slow

FOUR = ("res2", "res3", "res4", "res5")
SMALL_SWIN = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 3}
MODELS = {
    "swin_tiny_patch4_window7_224": (SMALL_SWIN, True),
    "test_convnext2": ({}, True),
    "test_efficientnet": ({}, False),
}


@pytest.fixture(scope="module", params=MODELS)
def features(request):
    options, _ = MODELS[request.param]
    return TimmFeatures(request.param, FOUR, options)


def test_only_models_that_round_down_are_padded(features):
    assert features.padded == MODELS[features.name][1]


@pytest.mark.parametrize("size", [(65, 97), (64, 96), (33, 33), (100, 70)])
@torch.no_grad()
def test_features_have_their_strides_and_channels_at_any_size(features, size):
    found = features(torch.randn(1, 3, *size))
    assert list(found) == list(FOUR)
    for name, feature in found.items():
        grid = [-(-side // STRIDES[name]) for side in size]
        assert feature.shape == (1, features.channels[name], *grid)


def test_weights_of_the_classifier_fill_every_feature_layer(features):
    classifier = timm.create_model(features.name, **features.options)
    ours, unused = features.from_timm(classifier.state_dict())
    features.load_state_dict(ours)
    assert unused
    image = torch.randn(1, 3, 64, 64)
    expected = classifier.eval().forward_intermediates(image, intermediates_only=True)[-1]
    torch.testing.assert_close(features.eval()(image)["res5"], expected)
    features.train()


def test_every_parameter_gets_a_gradient(features):
    sum(
        feature.square().mean() for feature in features(torch.randn(2, 3, 65, 65)).values()
    ).backward()
    assert [name for name, p in features.named_parameters() if p.grad is None] == []


def test_fewer_features_need_fewer_layers():
    counts = [
        sum(p.numel() for p in TimmFeatures("test_efficientnet", names).parameters())
        for names in (("res2", "res3"), FOUR)
    ]
    assert counts[0] < counts[1]


def test_a_stem_of_stride_2_is_a_feature_where_the_model_has_it():
    features = TimmFeatures("test_efficientnet", ("stem", *FOUR))
    assert features(torch.randn(2, 3, 65, 65))["stem"].shape[2:] == (33, 33)


def test_the_deepest_feature_of_a_stride_is_taken():
    assert find_features("x", [4, 4, 8, 16, 32], FOUR) == dict(zip(FOUR, [1, 2, 3, 4], strict=True))


@pytest.mark.parametrize(
    ("name", "names", "message"),
    [
        ("no_such_model", FOUR, "timm has no model 'no_such_model'"),
        ("test_convnext2", ("stem",), r"strides \[4, 8, 16, 32\], but not stem \(stride 2\)"),
        ("test_convnext2", ("res6",), r"OUT_FEATURES has \['res6'\]"),
        ("test_maxvit", FOUR, "does not give features of any image"),
    ],
)
def test_models_that_cannot_serve_are_refused(name, names, message):
    with pytest.raises(ValueError, match=message):
        TimmFeatures(name, names)
