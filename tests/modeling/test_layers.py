"""The bricks of the network."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from kmax_deeplab.modeling.layers import (
    BatchNorm,
    ConvBN,
    get_activation,
    init_conv,
    make_norm,
    resize_bilinear,
    zero_init,
)
from tests.processes import together


def test_the_norm_has_the_epsilon_and_momentum_of_the_release():
    norm = make_norm()(8)
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


def test_an_unknown_norm_is_refused_with_the_accepted_names():
    with pytest.raises(ValueError, match=r"'GN'.*BN.*SyncBN"):
        make_norm("GN")


def test_an_unknown_activation_is_refused_with_the_accepted_names():
    with pytest.raises(ValueError, match=r"'swish'.*gelu.*none.*relu"):
        get_activation("swish")


@pytest.mark.parametrize("name", ["SyncBN", "BN"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 6), (3, 4, 2, 5, 6)])
def test_in_one_process_the_norm_is_plain_batch_norm_for_any_number_of_axes(name, shape):
    norm, x = make_norm(name)(4), torch.randn(shape)
    expected = F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True, eps=1e-3)
    torch.testing.assert_close(norm(x), expected)


def _normalise_half_of_a_batch(rank: int, whole: torch.Tensor, folder: str, compiled: bool) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    norm = BatchNorm(4, eps=1e-3, momentum=0.01)
    half = whole[2 * rank : 2 * rank + 2].clone().requires_grad_()
    # one graph, collectives included
    out = (torch.compile(norm, backend="aot_eager", fullgraph=True) if compiled else norm)(half)
    (out * torch.arange(out.numel()).view_as(out)).sum().backward()
    torch.save((out.detach(), half.grad, norm.running_var), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_two_cpu_ranks_share_their_statistics(tmp_path, compiled):
    whole = torch.randn(4, 4, 3, 3)
    together(_normalise_half_of_a_batch, whole, str(tmp_path), compiled)
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    x = whole.clone().requires_grad_()
    norm = BatchNorm(4, eps=1e-3, momentum=0.01)
    expected = norm(x)
    weights = torch.arange(2 * 36).view(2, 4, 3, 3).repeat(2, 1, 1, 1)
    (expected * weights).sum().backward()
    torch.testing.assert_close(torch.cat([h[0] for h in halves]), expected.detach())
    torch.testing.assert_close(torch.cat([h[1] for h in halves]), x.grad, rtol=1e-4, atol=1e-4)
    for _, _, running_var in halves:
        torch.testing.assert_close(running_var, norm.running_var)


def test_the_default_initialisation_counts_channels_and_not_the_kernels_area():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 512, 3)
    init_conv(conv)
    two_sigma = 2 * (2 / 64) ** 0.5
    assert conv.weight.abs().max() <= two_sigma
    assert conv.weight.abs().max() > 0.98 * two_sigma


def test_a_zero_initialised_brick_returns_zero():
    brick = zero_init(ConvBN(4, 4, norm=make_norm()))
    assert not brick(torch.randn(2, 4, 5, 5)).any()


def test_resizing_keeps_the_corners_of_sources_with_odd_width():
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    assert resize_bilinear(ramp, (9, 9))[0, 0, 0].tolist() == [i / 2 for i in range(9)]
    even = resize_bilinear(ramp[..., :4], (8, 8))[0, 0, 0]
    assert even[:3].tolist() == [0.0, 0.25, 0.75]
