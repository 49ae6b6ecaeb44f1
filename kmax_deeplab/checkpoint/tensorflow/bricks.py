"""Bricks of the TensorFlow networks: names in both worlds in, an `Entry` for each variable out.

`theirs` are names of TensorFlow variables without "/.ATTRIBUTES/VARIABLE_VALUE", `ours` names of
our state dict; both as prefixes of the brick. Array axes are called H, W, I (input channels), O
(output channels), L (length 1).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

Layout = Callable[[np.ndarray], np.ndarray]
"""Brings a TensorFlow array into the layout of our parameter."""


@dataclass(frozen=True)
class Entry:
    """One variable, and the parameter that it fills.

    Attributes:
        ours: name in our state dict.
        theirs: name of the variable.
        shape: of the variable.
        layout: brings its array into the layout of our parameter.
    """

    ours: str
    theirs: str
    shape: tuple[int, ...]
    layout: Layout


Entries = Iterator[Entry]


def flatten(array: np.ndarray) -> np.ndarray:
    """Returns all elements in order."""
    return array.reshape(-1)


def unchanged(array: np.ndarray) -> np.ndarray:
    """Returns the array itself."""
    return array


def hwio_to_oihw(array: np.ndarray) -> np.ndarray:
    """Maps a 2-d kernel (H, W, I, O)."""
    return array.transpose(3, 2, 0, 1)


def hwo1_to_o1hw(array: np.ndarray) -> np.ndarray:
    """Maps a depthwise kernel (H, W, O, 1)."""
    return array.transpose(2, 3, 0, 1)


def lio_to_oil(array: np.ndarray) -> np.ndarray:
    """Maps a 1-d kernel (1, I, O)."""
    return array.transpose(2, 1, 0)


def lio_to_oi11(array: np.ndarray) -> np.ndarray:
    """Maps a 1-d kernel (1, I, O) to a 2-d one."""
    return array.transpose(2, 1, 0)[..., None]


def io_to_oi(array: np.ndarray) -> np.ndarray:
    """Maps a dense kernel (I, O)."""
    return array.T


def io_to_oi1(array: np.ndarray) -> np.ndarray:
    """Maps a dense kernel (I, O) to a 1-d convolution."""
    return array.T[..., None]


def conv(ours: str, theirs: str, channels: tuple[int, int], size: int = 1) -> Entries:
    """A 2-d convolution without bias; `channels` are (input, output)."""
    yield Entry(f"{ours}.weight", f"{theirs}/kernel", (size, size, *channels), hwio_to_oihw)


def bias(ours: str, theirs: str, channels: int) -> Entries:
    """The bias of a layer."""
    yield Entry(f"{ours}.bias", f"{theirs}/bias", (channels,), unchanged)


def layer_norm(ours: str, theirs: str, shape: tuple[int, ...]) -> Entries:
    """Scale and shift; over several axes, `shape` has all of them."""
    yield Entry(f"{ours}.weight", f"{theirs}/gamma", shape, flatten)
    yield Entry(f"{ours}.bias", f"{theirs}/beta", shape, flatten)


def batch_norm(ours: str, theirs: str, shape: tuple[int, ...]) -> Entries:
    """Scale, shift and running statistics; over several axes, `shape` has all of them."""
    yield from layer_norm(ours, theirs, shape)
    yield Entry(f"{ours}.running_mean", f"{theirs}/moving_mean", shape, flatten)
    yield Entry(f"{ours}.running_var", f"{theirs}/moving_variance", shape, flatten)


def conv_bn(ours: str, theirs: str, channels: tuple[int, int], size: int = 1) -> Entries:
    """A 2-d convolution and its batch norm."""
    yield from conv(f"{ours}.conv", f"{theirs}/_conv", channels, size)
    yield from batch_norm(f"{ours}.norm", f"{theirs}/_batch_norm", channels[1:])


def sequence_conv_bn(
    ours: str, theirs: str, channels: tuple[int, int], layout: Layout = lio_to_oil
) -> Entries:
    """A 1-d 1x1 convolution and its batch norm."""
    yield Entry(f"{ours}.conv.weight", f"{theirs}/_conv/kernel", (1, *channels), layout)
    yield from batch_norm(f"{ours}.norm", f"{theirs}/_batch_norm", channels[1:])


def separable_conv_bn(
    depthwise: str, pointwise: str, theirs: str, channels: tuple[int, int]
) -> Entries:
    """A depthwise 5x5 and a 1x1 convolution, each with its batch norm; two bricks of ours."""
    parts, wide = f"{theirs}/_conv1_bn_act", channels[0]
    kernel = f"{parts}/_depthwise/_depthwise_conv/depthwise_kernel"
    yield Entry(f"{depthwise}.conv.weight", kernel, (5, 5, wide, 1), hwo1_to_o1hw)
    yield from batch_norm(f"{depthwise}.norm", f"{parts}/_depthwise/_batch_norm", (wide,))
    yield from conv_bn(pointwise, f"{parts}/_pointwise", channels)


def reorder(entries: Iterable[Entry], order: list[int]) -> Entries:
    """Makes output channel i of our parameters channel `order[i]` of theirs."""
    for entry in entries:
        yield replace(entry, layout=partial(_reordered, entry.layout, order))


def _reordered(layout: Layout, order: list[int], array: np.ndarray) -> np.ndarray:
    return layout(array)[order]
