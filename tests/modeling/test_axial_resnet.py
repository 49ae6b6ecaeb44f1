"""MaX-S: sizes, blocks, drop path, gradients."""

import pytest
import torch

from kmax_deeplab.modeling.axial_resnet import STRIDES, AxialResNet
from kmax_deeplab.modeling.drop_path import DropPath
from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.recomputation import set_recompute
from kmax_deeplab.modeling.residual_blocks import AxialBlock


def tiny(depths=(1, 1, 2, 1), axial=(0, 0, 1, 1), drop_path=(0.0, 0.1, 0.2, 0.3, 0.4)):
    torch.manual_seed(0)
    return AxialResNet(depths, axial, stem_channels=4, drop_path=drop_path, norm=make_norm())


@pytest.mark.parametrize("size", [(33, 65), (64, 96)])
def test_features_have_their_strides_and_channels(size):
    net = tiny().eval()
    with torch.no_grad():
        features = net(torch.randn(1, 3, *size))
    assert {name: f.shape[1] for name, f in features.items()} == net.channels
    assert net.channels == {"stem": 8, "res2": 16, "res3": 32, "res4": 64, "res5": 128}
    for name, feature in features.items():
        assert feature.shape[2:] == tuple(-(-side // STRIDES[name]) for side in size)


def test_the_last_blocks_of_a_stage_are_axial():
    net = tiny()
    kinds = {n: [isinstance(b, AxialBlock) for b in net.get_submodule(n)] for n in net.channels}
    del kinds["stem"]
    assert kinds == {"res2": [False], "res3": [False], "res4": [False, True], "res5": [True]}


def test_every_block_has_its_own_drop_path():
    rates = [m.drop_prob for m in tiny().modules() if isinstance(m, DropPath)]
    assert rates == [0.0, 0.1, 0.2, 0.3, 0.4]


@torch.no_grad()
def test_features_are_not_activated():
    net = tiny().eval()
    for module in net.modules():
        if hasattr(module, "conv3_bn"):
            torch.nn.init.constant_(module.conv3_bn.norm.bias, -5.0)
    features = net(torch.randn(1, 3, 33, 33))
    assert all(feature.min() < -1.0 for feature in features.values())  # GELU gives -0.17 at least


@pytest.mark.parametrize("recompute", [False, True])
def test_every_parameter_gets_a_gradient(recompute):
    net = tiny(drop_path=[0.0] * 5).train()
    for module in net.modules():
        if hasattr(module, "conv3_bn"):  # its scale starts at 0, which stops gradients
            torch.nn.init.ones_(module.conv3_bn.norm.weight)
    set_recompute(net, recompute)
    features = net(torch.randn(2, 3, 65, 65))
    sum(feature.square().sum() for feature in features.values()).backward()
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize(
    ("depths", "axial", "message"),
    [((1, 1, 1), (0, 0, 0), "has 4 stages"), ((1, 1, 1, 1), (0, 0, 0, 2), "at most as many")],
)
def test_depths_that_do_not_fit_are_refused(depths, axial, message):
    with pytest.raises(ValueError, match=message):
        tiny(depths, axial)


def test_a_drop_path_list_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 drop-path probabilities were given for 5 blocks"):
        tiny(drop_path=[0.0, 0.0])
