"""Measuring a step with PyTorch's profiler: a function enters, its cost leaves, on CPU or GPU.

Time and memory are taken from plain runs; a further run under the profiler says how many operators
and kernels it took, and where the time went. Rooms are ranges of `torch.profiler.record_function`,
so that they are in the trace as well.
"""

import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

GIGABYTE = 1e9


@dataclass(frozen=True)
class Measurement:
    """The cost of a step.

    Attributes:
        title: what was measured.
        environment: where, see `describe_environment`.
        images: that a step processes.
        seconds: of each run.
        peak_bytes: most memory: of tensors on a GPU, of the process so far on a CPU.
        operators: calls of operators by the host, those that others call not counted.
        kernels: that the device ran; 0 on a CPU.
        synchronisations: how often the host waited for the device; 0 on a CPU.
        rooms: seconds of each range in a step, of the device on a GPU; ranges may lie in others.
    """

    title: str
    environment: str
    images: int
    seconds: list[float]
    peak_bytes: int
    operators: int
    kernels: int
    synchronisations: int
    rooms: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median seconds of a run."""
        return statistics.median(self.seconds)

    def figures(self) -> dict[str, tuple[float, str]]:
        """Returns the figures to show, by name, with how to format them."""
        slowest = sorted(self.seconds)[round(0.95 * (len(self.seconds) - 1))]
        counts = {
            name: (getattr(self, name), ",.0f")
            for name in ("operators", "kernels", "synchronisations")
        }
        return {
            "median ms": (1000 * self.median, ".1f"),
            "95th percentile ms": (1000 * slowest, ".1f"),
            "images/s": (self.images / self.median, ".2f"),
            "peak GB": (self.peak_bytes / GIGABYTE, ".2f"),
            **counts,
            **{f"· {room} ms": (1000 * seconds, ".1f") for room, seconds in self.rooms.items()},
        }

    def to_dict(self) -> dict:
        """Returns plain values for JSON; `Measurement(**values)` takes them back."""
        return asdict(self)


@contextmanager
def rooms(watched: dict[str, nn.Module | tuple[object, str]]) -> Iterator[None]:
    """Makes ranges of modules and functions for a while.

    Args:
        watched: by the name of the range a module, or the owner and the name of a function.
    """
    with ExitStack() as stack:
        for name, what in watched.items():
            if isinstance(what, nn.Module):  # a compiled one is left whole
                compiled = what._compiled_call_impl is not None
                what = what, "_compiled_call_impl" if compiled else "forward"
            stack.enter_context(_watch(name, *what))
        yield


@contextmanager
def _watch(name: str, owner: object, attribute: str) -> Iterator[None]:
    function, own = getattr(owner, attribute), vars(owner).get(attribute)

    def recorded(*args, **kwargs):
        with record_function(name):
            return function(*args, **kwargs)

    setattr(owner, attribute, recorded)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, own)


def measure(
    step: Callable[[], object],
    *,
    title: str,
    images: int,
    device: torch.device,
    runs: int,
    names: Sequence[str] = (),
    trace: Path | None = None,
) -> Measurement:
    """Measures a step.

    Args:
        step: to run.
        title: what it is.
        images: that it processes.
        device: it runs on.
        runs: measured ones, after two to warm up.
        names: of the ranges to report.
        trace: where to write a trace of one run for chrome://tracing or Perfetto.

    Raises:
        ValueError: `runs` is less than 1.
    """
    if runs < 1:
        raise ValueError(f"runs = {runs}: at least one measured run is needed")
    for _ in range(2):
        _timed(step, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = [_timed(step, device) for _ in range(runs)]
    peak = peak_bytes(device)
    waits = _count_synchronisations(step) if device.type == "cuda" else 0
    events = _profiled(step, device, trace)
    found = {event.key: event for event in events.key_averages()}
    return Measurement(
        title=title,
        environment=describe_environment(device),
        images=images,
        seconds=seconds,
        peak_bytes=peak,
        operators=sum(_is_operator(e) and not _is_inside(e) for e in events.events()),
        kernels=sum(e.device_type == DeviceType.CUDA for e in events.events()),
        synchronisations=waits,
        rooms={name: _seconds(found[name], device) for name in names if name in found},
    )


def _timed(step: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _profiled(step: Callable[[], object], device: torch.device, trace: Path | None) -> profile:
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        _timed(step, device)
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    return profiler


def _count_synchronisations(step: Callable[[], object]) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def _is_operator(event: torch.autograd.profiler_util.FunctionEvent) -> bool:
    return event.name.startswith("aten::") and event.device_type == DeviceType.CPU


def _is_inside(event: torch.autograd.profiler_util.FunctionEvent) -> bool:
    return event.cpu_parent is not None and event.cpu_parent.name.startswith("aten::")


def _seconds(event: torch.autograd.profiler_util.FunctionEventAvg, device: torch.device) -> float:
    total = event.device_time_total if device.type == "cuda" else event.cpu_time_total
    return total / 1e6


def peak_bytes(device: torch.device) -> int:
    """Returns the most memory that this process has had, of a GPU or of the host; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # Unix alone has it
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_environment(device: torch.device) -> str:
    """Names device, threads and versions in one line."""
    name = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}; torch {torch.__version__}; Python {platform.python_version()}"


def format_measurement(found: Measurement, other: Measurement | None = None) -> str:
    """Returns a table of all figures, beside those of an earlier measurement and their ratio."""
    lines = [found.title, f"{found.environment}; {len(found.seconds)} runs"]
    if other is not None:
        lines += [f"against {other.title}", f"  {other.environment}; {len(other.seconds)} runs"]
    earlier = {} if other is None else other.figures()
    for name, (value, form) in found.figures().items():
        line = f"{name:<32}{value:>12{form}}"
        if name in earlier:
            before = earlier[name][0]
            ratio = f"{value / before:.3f}" if before else "-"
            line += f"{before:>12{form}}{ratio:>9}"
        lines.append(line)
    return "\n".join(lines)


def format_table(found: Sequence[Measurement]) -> str:
    """Returns a line a measurement, without its rooms."""
    columns = [name for name in found[0].figures() if not name.startswith("·")]
    lines = sorted({one.environment for one in found})
    lines += ["| |" + "|".join(columns) + "|", "|---|" + "---:|" * len(columns)]
    for one in found:
        cells = [f"{value:{form}}" for value, form in one.figures().values()][: len(columns)]
        lines.append(f"|{one.title}|" + "|".join(cells) + "|")
    return "\n".join(lines)
