"""A moving average of the weights: a model that is trained enters, its average leaves."""

from typing import Any

from detectron2.engine import HookBase
from timm.utils import ModelEmaV3
from torch import nn

from kmax_deeplab.modeling.drop_path import DropPath


class AveragedWeights(HookBase):
    """Averages the weights and the statistics of norms after every step that was not skipped.

    Args:
        model: bare, on its device.
        decay: share of the average that a step keeps; less at the beginning.

    Attributes:
        is_loaded: whether it goes on from a checkpoint.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        for layer in model.modules():
            if isinstance(layer, DropPath):
                layer.draws = None  # of the last batch
        self._source, self.is_loaded = model, False
        self._average = ModelEmaV3(model, decay, use_warmup=True)

    @property
    def model(self) -> nn.Module:
        """The averaged model, in evaluation mode."""
        return self._average.module

    def before_train(self) -> None:
        """Begins with the weights that the training begins with."""
        if not self.is_loaded:
            self._average.set(self._source)

    def after_step(self) -> None:
        """Adds the weights after a step."""
        if not self.trainer.is_step_skipped:
            self._average.update(self._source, step=self.trainer.iter + 1)


class Saved:
    """What a checkpoint holds of an average, beside the weights themselves."""

    def __init__(self, average: AveragedWeights) -> None:
        self._average = average

    def state_dict(self) -> dict[str, Any]:
        """Returns the averaged weights, by the names of the model's."""
        return self._average.model.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with an average."""
        self._average.model.load_state_dict(state_dict)
        self._average.is_loaded = True
