"""The depthwise convolution: PyTorch's values and gradients."""

import pytest
import torch
from torch import nn

from kmax_deeplab.modeling.cpu import depthwise
from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "kernel_size", "bias"), [(7, 5, False), (4, 3, True)])
def test_chunks_give_pytorchs_values_and_gradients(
    channels, kernel_size, bias, memory_format, monkeypatch
):
    monkeypatch.setattr(depthwise, "CHUNK", 3)
    monkeypatch.setattr(depthwise, "LARGE", 1)
    form = {"padding": kernel_size // 2, "bias": bias}
    ours = DepthwiseConv2d(channels, channels, kernel_size, **form)
    plain = nn.Conv2d(channels, channels, kernel_size, groups=channels, **form)
    plain.load_state_dict(ours.state_dict())
    x, gradient = (
        torch.randn(2, channels, 9, 6).contiguous(memory_format=memory_format) for _ in range(2)
    )
    results = []
    for network in (ours, plain):
        image = x.clone().requires_grad_()
        y = network(image)
        y.backward(gradient)
        results.append([y, image.grad, *(p.grad for p in network.parameters())])
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected)


def test_small_maps_and_evaluation_are_pytorchs_own(monkeypatch):
    monkeypatch.setattr(depthwise, "_Depthwise", None)
    network = DepthwiseConv2d(4, 4, 3, padding=1)
    network(torch.randn(1, 4, 8, 8))
    network.eval()(torch.randn(1, 4, 64, 64))
