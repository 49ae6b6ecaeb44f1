"""Batch norm of few channels: values, gradients and statistics of PyTorch's own."""

import copy

import pytest
import torch

from kmax_deeplab.modeling import few_channel_norm, layers
from kmax_deeplab.modeling.few_channel_norm import FewChannelNorm, normalise_few_channels


def a_norm(channels: int, **options: object) -> torch.nn.Module:
    norm = layers.make_norm("BN")(channels).train()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm.to(**options)


@pytest.mark.parametrize("shape", [(2, 24, 9, 9), (3, 8, 50), (4, 1, 3, 2, 5)])
def test_it_is_batch_norm_with_its_running_statistics(shape):
    torch.manual_seed(0)
    norm = a_norm(shape[1])
    plain, x = copy.deepcopy(norm), 3 * torch.randn(shape) + 5
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [normalise_few_channels(norm, inputs[0]), plain(inputs[1])]
    torch.testing.assert_close(*outputs)
    weight = torch.randn(shape)
    for output in outputs:
        (output * weight).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(norm.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dict(norm.named_buffers()), dict(plain.named_buffers()))


def test_its_gradients_are_exact():
    torch.manual_seed(0)
    arguments = (torch.randn(2, 3, 4, 5), torch.randn(3), torch.randn(3))
    arguments = [x.double().requires_grad_() for x in arguments]
    assert torch.autograd.gradcheck(lambda *a: FewChannelNorm.apply(*a, 1e-3)[0], arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    torch.manual_seed(0)
    x = (torch.randn(2, 8, 300, 300) + 200).to(dtype)
    norm = a_norm(8)
    wide = normalise_few_channels(copy.deepcopy(norm), x.float())
    assert normalise_few_channels(norm, x).dtype == dtype
    torch.testing.assert_close(normalise_few_channels(norm, x), wide.to(dtype))


def test_norms_use_it_for_few_channels_of_many_values(monkeypatch):
    used = []
    monkeypatch.setattr(few_channel_norm, "LEAST_VALUES", 100)
    monkeypatch.setattr(
        layers, "is_worthwhile", lambda x: used.append(few_channel_norm.is_worthwhile(x))
    )
    a_norm(4)(torch.randn(2, 4, 10, 10))
    assert used == [False]  # on a CPU PyTorch's own is quicker
    norm = a_norm(4)
    norm.eval()(torch.randn(2, 4, 10, 10))
    assert len(used) == 1
