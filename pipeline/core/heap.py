"""What the C library does with large blocks of memory that are given back."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD of glibc's mallopt(3)
_LARGE: Final = 1 << 20


def give_back() -> bool:
    """Have blocks of a megabyte and more returned to the system when they are freed; whether that could be had.

    glibc keeps them in its heap once it has seen a few, and batches of many sizes leave that full of holes.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and mallopt(_MMAP_THRESHOLD, _LARGE) == 1
