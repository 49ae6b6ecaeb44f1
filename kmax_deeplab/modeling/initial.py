"""Initial weights: drawn where a training begins, left out where a model is filled, or only sized.

Drawing those of a large model takes seconds, and on the "meta" device hardly less.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from timm.layers import trunc_normal_tf_
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary


def draw_normal(weight: Tensor, *, std: float) -> Tensor:
    """Fills a weight from a normal that is truncated at 2 std, and returns it."""
    if has_torch_function_unary(weight):
        return handle_torch_function(draw_normal, (weight,), weight, std=std)
    return trunc_normal_tf_(weight, std=std)


DRAWS = (
    draw_normal,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    Tensor.normal_,
    Tensor.uniform_,
)
"""What the layers in use draw their weights with."""


class Undrawn(TorchFunctionMode):
    """Leaves what is drawn as it lies in memory: `with Undrawn(): model = build_model(…)`.

    Such a model means nothing until every entry of it is filled: load into it what is complete.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
