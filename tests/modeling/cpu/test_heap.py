"""Freed memory that stays with the process."""

import subprocess
import sys

import pytest

PROBE = """
import ctypes
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory

def resident():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmRSS"))
    return int(line.split()[1])  # kB

assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 << 20
block = libc.malloc(size)
ctypes.memset(block, 1, size)
held = resident()
libc.free(block)
print(held - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc and /proc are Linux's")
def test_a_freed_block_of_any_size_stays_resident():
    lost = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert int(lost.stdout) < 1 << 10
