"""Time, as something that can be handed over: nothing between poll and append asks the machine for it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]  # nanoseconds since 1970, UTC


def system_clock() -> int:
    """The machine's own time."""
    return time.time_ns()


def steady_clock() -> int:
    """How long to wait goes by this one, which nobody sets; it begins anywhere."""
    return time.monotonic_ns()


NEVER = -(2**62)  # µs: before any event
ALWAYS = 2**62  # µs: after every event
