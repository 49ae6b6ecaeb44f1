"""Batch norm and GELU as one step: the numbers of the two, from less memory."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.cpu.norm_gelu import norm_gelu
from kmax_deeplab.modeling.layers import make_norm


def make_inputs(shape: tuple[int, ...], memory_format: torch.memory_format) -> tuple:
    """A norm whose scale and bias are not trivial, an input and a gradient."""
    norm = make_norm()(shape[1])
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, gradient = (torch.randn(shape).contiguous(memory_format=memory_format) for _ in range(2))
    return norm, x.requires_grad_(), gradient


def results(function, norm: nn.Module, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """Output, gradients and running statistics of one training step."""
    norm, x = copy.deepcopy(norm).train(), x.detach().clone().requires_grad_()
    y = function(norm, x)
    y.backward(gradient)
    return [y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()]


@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [
        ((3, 4, 5), torch.contiguous_format),
        ((2, 4, 5, 7), torch.contiguous_format),
        ((2, 4, 5, 7), torch.channels_last),
    ],
)
def test_one_step_gives_what_batch_norm_and_gelu_give(shape, memory_format):
    inputs = make_inputs(shape, memory_format)
    expected = results(lambda norm, x: F.gelu(norm(x)), *inputs)
    for ours, plain in zip(results(norm_gelu, *inputs), expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_it_keeps_its_input_and_no_other_tensor_of_that_size():
    norm, x, _ = make_inputs((2, 4, 5, 7), torch.contiguous_format)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        norm_gelu(norm.train(), x)
    assert [t.data_ptr() for t in kept if t.numel() == x.numel()] == [x.data_ptr()]


def test_in_evaluation_it_uses_the_running_statistics():
    norm, x, _ = make_inputs((2, 4, 5, 7), torch.contiguous_format)
    norm.eval().running_mean.fill_(3.0)
    torch.testing.assert_close(norm_gelu(norm, x), F.gelu(norm(x)))


def test_one_value_per_channel_has_no_statistics():
    norm = make_norm()(4).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm_gelu(norm, torch.zeros(1, 4, 1, 1))
