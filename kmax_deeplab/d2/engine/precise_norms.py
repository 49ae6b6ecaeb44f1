"""Statistics of norms as exact averages: a model and training data enter, its buffers change."""

from collections.abc import Callable

from detectron2.engine.hooks import PreciseBN
from torch import nn
from torch.utils.data import DataLoader


class PreciseNorms(PreciseBN):
    """Detectron2's hook, which sees the same batches every time: those that the run began with.

    Args:
        period: iterations between two runs, beside the one at the end.
        model: whose norms are averaged.
        open_data: builds a loader.
        batches: that are seen.
    """

    def __init__(
        self, period: int, model: nn.Module, open_data: Callable[[], DataLoader], batches: int
    ) -> None:
        super().__init__(period, model, None, batches)
        self._open_data = open_data

    def update_stats(self) -> None:
        """Replaces the running statistics."""
        self._data_iter = iter(self._open_data())
        super().update_stats()
        self._data_iter = None
