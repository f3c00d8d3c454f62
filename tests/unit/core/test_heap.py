"""Memory of large blocks comes back, however they lie among small ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, sys
from pipeline.core import heap
if sys.argv[1] == "back" and not heap.give_back():
    print("none"); raise SystemExit
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def block(size):
    at = libc.malloc(size)
    ctypes.memset(at, 1, size)
    return at
libc.free(block(24 << 20))
large = []
for _ in range(40):
    large.append(block(4 << 20))
    block(4096)
for at in large:
    libc.free(at)
print(int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20)
"""


def resident(how: str) -> int:
    """MiB that a process holds after it has freed 160."""
    out = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True
    ).stdout.strip()
    if out == "none":
        pytest.skip("this C library has no mallopt")
    return int(out)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's matter")
def test_large_blocks_come_back() -> None:
    """With small blocks between them, 160 MiB of large ones stay with the process, unless they are given back."""
    assert resident("back") + 100 < resident("kept")
