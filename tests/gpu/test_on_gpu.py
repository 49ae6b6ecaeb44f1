"""What only runs on a GPU: other kernels, the same values. Skipped where there is none."""

import copy
from dataclasses import replace

import pytest
import torch

from kmax_deeplab.losses import LossSettings, compute_losses
from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.tensor_norm import is_worthwhile, normalise
from kmax_deeplab.modeling.transformer_decoder import sum_pixels_of_clusters
from kmax_deeplab.structures import HeadOutput, Prediction
from tests.losses.plain import random_output, random_truth

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_few_channels_are_normalised_as_on_a_cpu():
    norm = make_norm("BN")(24).train()
    there, x = copy.deepcopy(norm).cuda(), torch.randn(4, 24, 300, 300)
    assert is_worthwhile(x.cuda())
    torch.testing.assert_close(normalise(there, [x.cuda()]).cpu(), norm(x))
    torch.testing.assert_close(there.running_var.cpu(), norm.running_var)


def test_clusters_are_added_up_as_on_a_cpu():
    assignment, values = torch.randint(0, 128, (2, 81, 81)), torch.randn(2, 256, 81, 81)
    found = sum_pixels_of_clusters(assignment.cuda(), values.cuda(), 128).cpu()
    torch.testing.assert_close(
        found, sum_pixels_of_clusters(assignment, values, 128), rtol=1e-4, atol=1e-4
    )


def test_losses_and_gradients_are_those_of_a_cpu():
    torch.manual_seed(0)
    output = random_output([(4, 4), (9, 9)], images=2, semantic=(4, 9, 9))
    targets = [random_truth((9, 9), segments=3).targets() for _ in range(2)]
    moved = HeadOutput(
        [
            Prediction(*(x.detach().cuda().requires_grad_() for x in vars(p).values()))
            for p in output.predictions
        ],
        output.semantic_logits.detach().cuda().requires_grad_(),
    )
    settings = replace(LossSettings(), insdis_samples=10**6, semantic_samples=10**6)
    here = compute_losses(output, targets, settings)
    there = compute_losses(moved, [t.to(torch.device("cuda")) for t in targets], settings)
    assert {k: v.item() for k, v in there.items()} == pytest.approx(
        {k: v.item() for k, v in here.items()}, rel=1e-4
    )
    for losses in (here, there):
        sum(losses.values()).backward()
    for ours, theirs in zip(moved.predictions, output.predictions, strict=True):
        for name in vars(ours):
            gradients = getattr(ours, name).grad.cpu(), getattr(theirs, name).grad
            torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
