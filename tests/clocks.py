"""A wall clock that tests move under a running process: libfaketime, before libc's own.

Of PyPI's package, which builds release 0.9.12: in that of Debian 12 `clock_nanosleep`, and with it `time.sleep`, fails.
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.components import absent, from_pypi

STEADY: Final = "+0"
NOTICED_SECONDS: Final = 1.1  # a process looks the clock up once a second
Move = Callable[["WallClock"], None]


class WallClock:
    """The clock of every process that is started with `environment`; time spans (CLOCK_MONOTONIC) stay the machine's.

    Times of files are left alone: the kernel gives those.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "wall-clock"
        self.says(STEADY)

    def says(self, words: str) -> None:
        """What the clock shows from now on, as libfaketime has it: `-3600` is an hour behind, `+0 x20` runs fast."""
        written = self._file.with_suffix(".new")
        written.write_text(words if " x" in words else f"{words} x1", "ascii")  # else it keeps the speed it had
        written.rename(self._file)

    def shows(self, moment: dt.datetime) -> None:
        """It is `moment` now, and goes on from there."""
        self.says(f"{(moment - dt.datetime.now(dt.UTC)).total_seconds():+.3f}")

    def environment(self, zone: str = "UTC") -> dict[str, str]:
        """For the process that is to live by it. Skips or fails, saying why, where the library is not to be had."""
        return {
            "LD_PRELOAD": str(_library()), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_CACHE_DURATION": "0",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "TZ": zone,
        }  # fmt: skip


def _library() -> Path:
    for program in ("cc", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"libfaketime is built from source, and {program} is not there")
    root = from_pypi("libfaketime==3.0.1")
    found = sorted(root.glob("libfaketime/**/libfaketime.so.1"))
    if not found:
        absent(f"the package libfaketime has no library below {root}")
    return found[0]


def _ends(clock: WallClock) -> None:
    """An hour is told twice, in a zone with summer time."""
    clock.shows(dt.datetime(2026, 10, 25, 0, 59, 59, 700_000, tzinfo=dt.UTC))


def _begins(clock: WallClock) -> None:
    clock.shows(dt.datetime(2026, 3, 29, 0, 59, 59, 700_000, tzinfo=dt.UTC))


def _leap_second(clock: WallClock) -> None:
    """The last second of the year is told twice, as clocks without a 61st second do it."""
    clock.shows(dt.datetime(2016, 12, 31, 23, 59, 59, 500_000, tzinfo=dt.UTC))
    time.sleep(1)
    clock.shows(dt.datetime(2016, 12, 31, 23, 59, 59, 500_000, tzinfo=dt.UTC))


def _says(text: str) -> Move:
    return lambda clock: clock.says(text)


MOVES: Final[dict[str, Move]] = {
    "an hour back": _says("-3600"),
    "a day forward": _says("+86400"),
    "a day back": _says(STEADY),
    "fifty times as fast": _says("+0 x50"),
    "a fiftieth as fast": _says("+0 x0.02"),
    "summer time ends": _ends,
    "summer time begins": _begins,
    "a second twice": _leap_second,
    "1970": lambda clock: clock.shows(dt.datetime(1970, 1, 2, tzinfo=dt.UTC)),
    "ten years forward": _says("+315360000"),
}
