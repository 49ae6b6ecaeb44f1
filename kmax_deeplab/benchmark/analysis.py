"""What a network costs before it runs: a forward pass on the meta device enters, costs leave.

Nothing is computed there: tensors have shapes alone, so that any size is analysed in seconds,
without memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from tabulate import tabulate
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

REST = "rest"
"""What no room does."""
STATE_BYTES = 16
"""Of a parameter: itself, its gradient and AdamW's two moments, all in float32."""
HALF_BYTES = 2
"""Of its copy in mixed precision."""


@dataclass(frozen=True)
class Cost:
    """Of a room of a network.

    Attributes:
        parameters: their number.
        multiply_adds: of the products and convolutions of a forward pass.
        kept_bytes: of the tensors made there that wait for the backward pass.
    """

    parameters: int
    multiply_adds: int
    kept_bytes: int


def scale_costs(costs: Mapping[str, Cost], images: int, *, is_half: bool) -> dict[str, Cost]:
    """Returns what several images cost, in mixed precision with activations half as large."""
    return {
        room: Cost(
            cost.parameters,
            cost.multiply_adds * images,
            cost.kept_bytes * images // (2 if is_half else 1),
        )
        for room, cost in costs.items()
    }


def least_bytes(costs: Mapping[str, Cost], *, is_half: bool) -> tuple[int, int]:
    """Returns the bytes of a training's state, and those with its activations.

    Args:
        costs: of the images of a process, see `scale_costs`.
        is_half: whether weights are copied for mixed precision.
    """
    parameters = sum(cost.parameters for cost in costs.values())
    state = parameters * (STATE_BYTES + HALF_BYTES * is_half)
    return state, state + sum(cost.kept_bytes for cost in costs.values())


def format_costs(costs: Mapping[str, Cost]) -> str:
    """Returns a table of rooms and their sum."""
    total = Cost(*(sum(column) for column in zip(*map(_values, costs.values()), strict=True)))
    rows = [
        [name, cost.parameters / 1e6, cost.multiply_adds / 1e9, cost.kept_bytes / 1e9]
        for name, cost in {**costs, "all": total}.items()
    ]
    heads = ["", "parameters, M", "multiply-adds, G", "activations kept, GB"]
    return tabulate(rows, heads, tablefmt="simple", floatfmt=".2f")


def _values(cost: Cost) -> tuple[int, int, int]:
    return cost.parameters, cost.multiply_adds, cost.kept_bytes


def analyse(forward: Callable[[], object], rooms: Mapping[str, nn.Module]) -> dict[str, Cost]:
    """Counts what a forward pass costs.

    Args:
        forward: a call whose result is what a backward pass would begin with.
        rooms: parts of the network by name, none in another.

    Returns:
        the cost of each room and of `REST`.
    """
    counted = _Counted()
    with ExitStack() as stack:
        for name, part in rooms.items():
            stack.callback(part.register_forward_pre_hook(counted.enter(name)).remove)
            stack.callback(part.register_forward_hook(counted.leave, always_call=True).remove)
        stack.enter_context(counted)
        result = forward()
    kept = counted.kept()
    del result
    return {
        name: Cost(
            _own_parameters(name, rooms) if name in rooms else 0,
            counted.operations[name] // 2,
            kept[name],
        )
        for name in (*rooms, REST)
    }


def _own_parameters(name: str, rooms: Mapping[str, nn.Module]) -> int:
    """Counts the parameters of a room that are not below one of the others."""
    inside = set(rooms[name].modules())
    others = {
        p
        for other, part in rooms.items()
        if other != name and part in inside
        for p in part.parameters()
    }
    return sum(p.numel() for p in rooms[name].parameters() if p not in others)


class _Counted(TorchDispatchMode):
    """Follows operators and the memory that they take."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self._rooms = [REST]
        self._taken: dict[int, tuple[StorageWeakRef, str, int]] = {}

    def enter(self, name: str) -> Callable[..., None]:
        return lambda *_: self._rooms.append(name)

    def leave(self, *_) -> None:
        self._rooms.pop()

    def kept(self) -> Counter[str]:
        """Returns the bytes taken in each room that are still held."""
        held: Counter[str] = Counter()
        for memory, room, size in self._taken.values():
            held[room] += 0 if memory.expired() else size
        return held

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        before = {memory.cdata for memory in _memory_of((arguments, options))}
        result = function(*arguments, **options)
        if count := flop_registry.get(function._overloadpacket):
            self.operations[self._rooms[-1]] += count(*arguments, **options, out_val=result)
        for memory in _memory_of(result):
            if memory.cdata not in before:
                self._taken[memory.cdata] = memory.reference, self._rooms[-1], memory.size
        return result


class _Memory(NamedTuple):
    cdata: int
    reference: StorageWeakRef
    size: int


def _memory_of(values: object) -> list[_Memory]:
    storages = [x.untyped_storage() for x in tree_leaves(values) if isinstance(x, Tensor)]
    return [_Memory(s._cdata, StorageWeakRef(s), s.nbytes()) for s in storages]
