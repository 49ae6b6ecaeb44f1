"""The backward pass in two: losses enter, gradients of criterion and network are computed apart.

Losses are computed on leaf copies of the head's output. Their gradients are those of the criterion
alone; handed to the real output they drive the network's backward pass. Together that is the chain
rule, so parameters get the gradients of an undivided backward pass.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kmax_deeplab.structures import HeadOutput, Prediction


class SplitCriterion:
    """Wraps a criterion so that its backward pass can be run, and timed, by itself."""

    def __init__(self, criterion: Callable[..., dict[str, Tensor]]) -> None:
        self._criterion = criterion
        self._outputs: list[Tensor] = []
        self._leaves: list[Tensor] = []

    def __call__(self, output: HeadOutput, *args, **kwargs) -> dict[str, Tensor]:
        """Computes the losses of leaf copies of `output`."""
        self._outputs, self._leaves = [], []
        predictions = [self._detach_prediction(prediction) for prediction in output.predictions]
        semantic_logits = output.semantic_logits
        if semantic_logits is not None:
            semantic_logits = self._detach(semantic_logits)
        return self._criterion(
            replace(output, predictions=predictions, semantic_logits=semantic_logits),
            *args,
            **kwargs,
        )

    def _detach_prediction(self, prediction: Prediction) -> Prediction:
        return Prediction(
            self._detach(prediction.class_logits),
            self._detach(prediction.mask_logits),
            self._detach(prediction.pixel_feature),
        )

    def _detach(self, tensor: Tensor) -> Tensor:
        leaf = tensor.detach().requires_grad_()
        self._outputs.append(tensor)
        self._leaves.append(leaf)
        return leaf

    def backward_losses(self, losses: dict[str, Tensor]) -> None:
        """Computes the gradients of the losses with respect to the head's output."""
        sum(losses.values()).backward()

    def backward_network(self) -> None:
        """Carries those gradients on through the network, into its parameters."""
        pairs = [
            (output, leaf.grad)
            for output, leaf in zip(self._outputs, self._leaves, strict=True)
            if leaf.grad is not None
        ]
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients)
        self._outputs, self._leaves = [], []
