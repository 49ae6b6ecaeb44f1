"""Batch norm on whole tensors: values, gradients and statistics of PyTorch's own."""

import copy

import pytest
import torch

from kmax_deeplab.modeling import layers, tensor_norm
from kmax_deeplab.modeling.tensor_norm import TensorNorm, normalise


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
    outputs = [normalise(norm, [inputs[0]]), plain(inputs[1])]
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
    parts = [torch.randn(2, 3, 4, 5) for _ in range(2)]
    arguments = [x.double().requires_grad_() for x in (torch.randn(6), torch.randn(6), *parts)]
    assert torch.autograd.gradcheck(
        lambda weight, bias, *x: TensorNorm.apply(weight, bias, 1e-3, False, *x)[0], arguments
    )


@pytest.mark.parametrize("training", [True, False])
def test_normalised_parts_are_summed_as_their_concatenation_would_be(training):
    torch.manual_seed(0)
    norms = [a_norm(6).train(training)]
    norms += [copy.deepcopy(norms[0]) for _ in range(2)]
    parts = [torch.randn(3, 2, 5, 4) * scale + scale for scale in (1, 2, 3)]
    inputs = [[x.clone().requires_grad_() for x in parts] for _ in norms]
    found = [
        norms[0](torch.cat(inputs[0], 1)).unflatten(1, (3, -1)).sum(1),
        norms[1].sum_of(inputs[1]),
        normalise(norms[2], inputs[2]) if training else norms[2].sum_of(inputs[2]),
    ]
    weight = torch.randn(found[0].shape)
    for output in found:
        (output * weight).sum().backward()
    for norm, own, output in zip(norms[1:], inputs[1:], found[1:], strict=True):
        torch.testing.assert_close(output, found[0])
        for ours, theirs in zip(own, inputs[0], strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(norm.parameters(), norms[0].parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(dict(norm.named_buffers()), dict(norms[0].named_buffers()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    torch.manual_seed(0)
    x = (torch.randn(2, 8, 300, 300) + 200).to(dtype)
    norm = a_norm(8)
    wide = normalise(copy.deepcopy(norm), [x.float()])
    assert normalise(norm, [x]).dtype == dtype
    torch.testing.assert_close(normalise(norm, [x]), wide.to(dtype))


def test_norms_use_it_for_few_channels_of_many_values(monkeypatch):
    used = []
    monkeypatch.setattr(tensor_norm, "LEAST_VALUES", 100)
    monkeypatch.setattr(
        layers, "is_worthwhile", lambda x: used.append(tensor_norm.is_worthwhile(x))
    )
    a_norm(4)(torch.randn(2, 4, 10, 10))
    assert used == [False]  # on a CPU PyTorch's own is quicker
    norm = a_norm(4)
    norm.eval()(torch.randn(2, 4, 10, 10))
    assert len(used) == 1
