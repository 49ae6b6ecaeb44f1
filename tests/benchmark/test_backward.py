import torch
from torch import nn

from kmax_deeplab.benchmark.backward import SplitCriterion
from kmax_deeplab.structures import HeadOutput, Prediction


class TinyNetwork(nn.Module):
    """Two predictions and semantic logits that share parameters."""

    def __init__(self):
        super().__init__()
        self.trunk, self.head = nn.Linear(3, 4), nn.Linear(4, 5)

    def forward(self, x):
        hidden = self.trunk(x).tanh()
        logits = self.head(hidden)
        first = Prediction(logits[:1], logits * 2, hidden)
        return HeadOutput([first, Prediction(logits.exp(), hidden * 3, logits)], hidden.sin())


def losses_of(output, power):
    first, final = output.predictions
    return {
        "loss_ce": (final.class_logits.sum() * first.class_logits.sum()) ** power,
        "loss_dice": final.mask_logits.square().mean() + first.mask_logits.square().mean(),
        "loss_aux_semantic": output.semantic_logits.sum(),
    }


def test_a_divided_backward_pass_gives_the_gradients_of_an_undivided_one():
    torch.manual_seed(0)
    network, x = TinyNetwork(), torch.randn(6, 3)
    sum(losses_of(network(x), power=2).values()).backward()
    expected = [parameter.grad.clone() for parameter in network.parameters()]

    network.zero_grad()
    split = SplitCriterion(losses_of)
    losses = split(network(x), power=2)
    split.backward_losses(losses)
    assert all(parameter.grad is None for parameter in network.parameters())
    split.backward_network()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_outputs_that_no_loss_uses_are_left_out():
    network = TinyNetwork()
    split = SplitCriterion(lambda output: {"loss": output.predictions[0].class_logits.sum()})
    split.backward_losses(split(network(torch.randn(6, 3))))
    split.backward_network()
    assert network.head.weight.grad.abs().sum() > 0
