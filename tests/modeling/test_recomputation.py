"""Parts that forget their activations: the same numbers from less memory."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.layers import ConvBN, make_norm
from kmax_deeplab.modeling.recomputation import Recomputing, set_recompute
from kmax_deeplab.modeling.transformer_decoder import TransformerDecoder
from tests.processes import together


class Bricks(Recomputing):
    """Two bricks and a dropout, run as one part."""

    def __init__(self):
        super().__init__()
        bricks = [ConvBN(4, 4, 3, norm=make_norm(), gelu=True) for _ in range(2)]
        self.part = nn.Sequential(*bricks, nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.part, x)


class CountConvolutions(TorchDispatchMode):
    """Counts the convolutions that are really computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += operator is torch.ops.aten.convolution.default
        return operator(*args, **(kwargs or {}))


def plain_and_lean(network: nn.Module) -> list[nn.Module]:
    """Two copies of a network, of which the second recomputes."""
    networks = [copy.deepcopy(network).train() for _ in range(2)]
    for flag, each in enumerate(networks):
        set_recompute(each, bool(flag))
    return networks


def train_once(network: nn.Module, *inputs: object) -> dict[str, Tensor]:
    """Gradients and buffers after one step from one seed."""
    torch.manual_seed(0)
    outputs = network(*inputs)
    if isinstance(outputs, list):  # predictions of a decoder
        outputs = torch.cat([p.mask_logits.flatten() for p in outputs])
    outputs.float().square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return gradients | dict(network.named_buffers())


def assert_same(plain: dict[str, Tensor], lean: dict[str, Tensor]) -> None:
    assert plain.keys() == lean.keys()
    for name, value in plain.items():
        torch.testing.assert_close(lean[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_recomputing_changes_no_bit_of_gradients_and_running_statistics(mixed_precision):
    x = torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed_precision):
        results = [train_once(network, x) for network in plain_and_lean(Bricks())]
    assert_same(*results)
    assert results[1]["part.0.norm.num_batches_tracked"] == 1


@pytest.mark.slow
def test_a_transformer_decoder_that_recomputes_learns_the_same():
    decoder = TransformerDecoder(
        [8, 8, 8, 8], 3, num_queries=4, depths=[1, 1, 1], norm=make_norm(), drop_path=0.5
    )
    features = [torch.randn(2, 8, side, side) for side in (3, 5, 9)]
    inputs = (features, torch.randn(2, 8, 17, 17))
    assert_same(*(train_once(network, *inputs) for network in plain_and_lean(decoder)))


def test_convolutions_are_computed_once():
    network = plain_and_lean(Bricks())[1]
    with CountConvolutions() as convolutions:
        network(torch.randn(2, 4, 6, 6)).sum().backward()
    assert convolutions.count == 2


def test_only_a_part_that_recomputes_forgets_its_activations():
    forgotten = []
    for network in plain_and_lean(Bricks()):
        seen = []
        network.part[0].register_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append(
                StorageWeakRef(output.untyped_storage())
            )
        )
        output = network(torch.randn(2, 4, 6, 6))
        forgotten.append(seen[0].expired())
        output.sum().backward()
    assert forgotten == [False, True]


def test_in_evaluation_nothing_is_recomputed():
    network = plain_and_lean(Bricks())[1].eval()
    calls = []
    network.part[0].norm.register_forward_hook(lambda *_: calls.append(1))
    network(torch.randn(2, 4, 6, 6)).sum().backward()
    assert len(calls) == 1


def _train_on_a_rank(rank: int, network: nn.Module, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(rank))
    results = [train_once(each, x) for each in plain_and_lean(network)]
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_that_share_statistics_recompute_in_step(tmp_path):
    together(_train_on_a_rank, Bricks(), str(tmp_path))
    for rank in range(2):
        assert_same(*torch.load(tmp_path / f"{rank}.pt"))


def test_a_backbone_whose_linear_layers_are_computed_twice_waits_to_be_asked():
    network = ConvNeXt([1, 1, 2, 1], [4, 4, 8, 8], drop_path_rate=0.5, layer_scale=1.0)
    set_recompute(network, True, all_parts=False)
    assert not network.recompute
    x, results = torch.randn(4, 3, 65, 65), []
    for each in plain_and_lean(network):
        torch.manual_seed(0)
        sum(feature.square().sum() for feature in each(x).values()).backward()
        results.append({name: p.grad for name, p in each.named_parameters()})
    torch.testing.assert_close(*results, rtol=0, atol=0)
