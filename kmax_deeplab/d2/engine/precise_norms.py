"""Statistics of norms as averages over many batches: a model and training data enter, its buffers
change.

In training a norm keeps a moving average, in which the batches before the last weights still count.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import torch
from detectron2.engine import HookBase
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class PreciseNorms(HookBase):
    """Averages the statistics at the end and before evaluations, over the same batches each time.

    Args:
        period: iterations between two runs, beside the one at the end; 0: that one alone.
        model: bare; those of its norms that are in training.
        open_data: opens the batches that the run began with.
        batches: that are seen (TEST.PRECISE_BN.NUM_ITER).
    """

    def __init__(
        self,
        period: int,
        model: nn.Module,
        open_data: Callable[[], Iterable[list[dict]]],
        batches: int,
    ) -> None:
        self._period, self._model, self._open_data = period, model, open_data
        self._batches = batches

    def after_step(self) -> None:
        """Averages if it is time."""
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period and done % self._period == 0):
            average_statistics(self._model, islice(self._open_data(), self._batches))


@torch.no_grad()
def average_statistics(model: nn.Module, batches: Iterable[list[dict]]) -> None:
    """Sets the running statistics of all norms in training to those of equally large batches.

    Args:
        model: takes a batch.
        batches: at least one.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [norm.momentum for norm in norms]
    sums = [torch.zeros(2, norm.num_features).double().to(norm.weight.device) for norm in norms]
    count = 0
    for norm in norms:
        norm.momentum = 1.0  # the statistics of the newest batch
    for batch in batches:
        model(batch)
        count += 1
        for norm, (mean, square) in zip(norms, sums, strict=True):
            newest = norm.running_mean.double()
            mean += newest
            square += norm.running_var + newest.square()
    for norm, momentum, (mean, square) in zip(norms, momenta, sums, strict=True):
        norm.momentum = momentum
        norm.running_mean.copy_(mean / count)
        norm.running_var.copy_(square / count - (mean / count).square())
