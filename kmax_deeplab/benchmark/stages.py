"""Stage by stage: modules and functions are watched while steps run, medians and peaks leave.

A stage is a stretch of a step with a name. Stages nest as the calls do; a stage entered several
times in one step counts with the sum. On a GPU every border waits for the device, so a stage holds
what it started, at the price of the overlap between host and device.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from kmax_deeplab.benchmark.memory import PeakMemory

TOTAL = "total"
OTHER = "other"


@dataclass(frozen=True)
class Row:
    """One stage of a result.

    Attributes:
        stage: its name.
        depth: 0 for a stage of the step, 1 for a stage within a stage, ...
        seconds: one figure per measured step.
        peak_bytes: most memory in use during the stage, over all steps.
    """

    stage: str
    depth: int
    seconds: list[float]
    peak_bytes: int

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


@dataclass
class _Record:
    """Seconds per step, and peak, of one stage while measuring."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def pad(self, steps: int) -> None:
        """Adds a zero for every step so far in which the stage did not occur."""
        self.seconds += [0.0] * (steps - len(self.seconds))


class Stages:
    """Times the stages of repeated steps and follows the memory they need."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._memory = PeakMemory(device)
        self._open: list[str] = []
        self._records: dict[tuple[str, ...], _Record] = {}
        self._steps = 0
        self._watches = ExitStack()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the enclosed code to stage `name` of the stage around it."""
        self._enter(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._leave(start)

    def watch_module(self, name: str, module: nn.Module) -> None:
        """Makes every forward pass of a module a stage, until `measure` returns."""
        starts: list[float] = []

        def enter(*_) -> None:
            self._enter(name)
            starts.append(time.perf_counter())

        leave = partial(self._leave_forward, starts)
        self._watches.callback(module.register_forward_pre_hook(enter).remove)
        self._watches.callback(module.register_forward_hook(leave, always_call=True).remove)

    def watch_call(self, name: str, owner: object, attribute: str) -> None:
        """Makes every call of `owner.attribute` a stage, until `measure` returns."""
        function = getattr(owner, attribute)

        def timed(*args, **kwargs):
            with self.stage(name):
                return function(*args, **kwargs)

        setattr(owner, attribute, timed)
        self._watches.callback(setattr, owner, attribute, function)

    def measure(self, step: Callable[[], object], runs: int, warmup: int = 1) -> list[Row]:
        """Runs a step a few times and returns its stages, then what no stage holds, then the total.

        Raises:
            ValueError: `runs` is less than 1.
        """
        if runs < 1:
            raise ValueError(f"runs = {runs}: at least one measured run is needed")
        with self._watches:
            for _ in range(warmup):
                self._run(step)
            self._records.clear()
            self._memory.take()
            self._steps = 0
            for _ in range(runs):
                self._run(step)
        return self._rows()

    def _run(self, step: Callable[[], object]) -> None:
        self._steps += 1
        with self.stage(TOTAL):
            step()

    def _enter(self, name: str) -> None:
        self._border()
        self._open.append(name)
        record = self._records.setdefault(tuple(self._open), _Record())
        record.pad(max(self._steps, 1))

    def _leave_forward(self, starts: list[float], *_) -> None:
        self._leave(starts.pop())

    def _leave(self, start: float) -> None:
        self._border()
        self._records[tuple(self._open)].seconds[-1] += time.perf_counter() - start
        self._open.pop()

    def _border(self) -> None:
        """Waits for the device and credits the peak since the last border to all open stages."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        peak = self._memory.take()
        for depth in range(1, len(self._open) + 1):
            record = self._records[tuple(self._open[:depth])]
            record.peak_bytes = max(record.peak_bytes, peak)

    def _rows(self) -> list[Row]:
        for record in self._records.values():
            record.pad(self._steps)
        total = self._records.pop((TOTAL,))
        rows = [
            Row(path[-1], len(path) - 2, record.seconds, record.peak_bytes)
            for path, record in self._records.items()
        ]
        named = [row.seconds for row in rows if row.depth == 0]
        if named:
            rest = [whole - sum(parts) for whole, *parts in zip(total.seconds, *named, strict=True)]
            rows.append(Row(OTHER, 0, rest, total.peak_bytes))
        return [*rows, Row(TOTAL, 0, total.seconds, total.peak_bytes)]
