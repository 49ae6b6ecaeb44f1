"""Costs of a forward pass, counted by hand."""

import torch
from torch import nn

from kmax_deeplab.benchmark.analysis import REST, Cost, analyse
from kmax_deeplab.modeling.recomputation import Recomputing


class Network(Recomputing):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.GELU(), nn.GELU())
        self.second = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        return self.second(self.run(self.first, x)) + 1


def costs(recompute):
    with torch.device("meta"):
        network, x = Network(), torch.zeros(2, 3, 10, 10)
    network.recompute = recompute
    return analyse(lambda: network(x), {"first": network.first, "second": network.second})


def test_what_waits_for_the_backward_pass_is_counted_where_it_is_made():
    pixels, value = 200, 4
    found = costs(recompute=False)
    assert found["first"] == Cost(12, pixels * 12, 3 * pixels * 4 * value)  # its three outputs
    assert found["second"] == Cost(25, pixels * 20, 0)  # nobody needs its output
    assert found[REST] == Cost(0, 0, pixels * 5 * value)  # the result


def test_what_is_computed_again_does_not_wait():
    kept = costs(recompute=True)["first"].kept_bytes
    assert kept == 2 * 200 * 4 * 4  # the convolution's output, and the input of the next part
