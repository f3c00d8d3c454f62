"""Time, as something that can be handed over: nothing between poll and append asks the machine for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Clock = Callable[[], int]  # nanoseconds since 1970, UTC


def system_clock() -> int:
    """The machine's own time."""
    return time.time_ns()


def steady_clock() -> int:
    """How long to wait goes by this one, which nobody sets; it begins anywhere."""
    return time.monotonic_ns()


class Spaced:
    """Keeps a question that costs something to a tenth of the time: it is due a second after the last answer, or ten
    times as long after it as that took to come, but `longest` seconds after it at the most.
    """

    def __init__(self, steady: Clock = steady_clock, longest: float = math.inf) -> None:
        self._steady, self._longest = steady, longest
        self._due_ns: int | float = steady()

    @property
    def due(self) -> bool:
        """Whether to ask now."""
        return self._steady() >= self._due_ns

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask inside. What raises is due again."""
        begun_ns = self._steady()
        yield
        now_ns = self._steady()
        self._due_ns = now_ns + min(max(1e9, 10 * (now_ns - begun_ns)), self._longest * 1e9)


HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NEVER = -(2**62)  # µs: before any event
ALWAYS = 2**62  # µs: after every event
