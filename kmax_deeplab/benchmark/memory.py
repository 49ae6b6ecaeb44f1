"""Peak memory of this process: a device enters, bytes since the last reset leave.

On a GPU that is what PyTorch's allocator held at most. On a CPU it is the resident set, libraries
included, as Linux counts it (VmHWM). Where the kernel does not let a process reset that count, a
peak is that of the whole process so far, and a benchmark needs a fresh process.
"""

import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What to write into clear_refs to reset VmHWM (man 5 proc)."""


class PeakMemory:
    """Reads and resets the peak memory of one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def take(self) -> int:
        """Returns the peak in bytes since the last call (or the start), and begins anew."""
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            return peak
        peak = _resident_peak()
        _reset_resident_peak()
        return peak


def _resident_peak() -> int:
    if STATUS.is_file():
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _peak_by_getrusage()


def _peak_by_getrusage() -> int:
    try:
        import resource  # Unix alone has it
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _reset_resident_peak() -> None:
    try:
        CLEAR_REFS.write_text(RESET_PEAK, encoding="utf-8")
    except OSError:
        # Some containers forbid it; peaks then never fall, as the module's docstring says.
        return
