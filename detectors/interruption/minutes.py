"""The last hour of a store, minute by minute, and the pause it has just come out of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from math import log10
from statistics import median
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR: Final = 60  # minutes of memory
WAVE: Final = 10  # minutes after a pause in which log-ins are counted
_SIZE: Final = 4.0  # counts may well be half of the usual, or twice
_LONGER: Final = 3  # times the longest pause of the hour before
_AGAIN: Final = 1.5  # times the longest pause that was told of that hour of the day


@dataclass(frozen=True, slots=True)
class Pause:
    """Minutes [start, end) since 1970 without an operation: what was expected in them, and log-ins after them."""

    start: int
    end: int
    expected: float
    surprise: float  # -log10 of how likely so long a silence is
    usual: float  # log-ins in as many minutes as are counted after it
    entered: int = 0


@dataclass(slots=True)
class Store:
    """Counts of operations and log-ins: of the open minute, and of the closed ones before it, oldest first."""

    minute: int = -1
    count: int = 0
    logins: int = 0
    counts: list[int] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=lambda: [0] * 24)  # longest pause that began at each hour (UTC)
    pause: Pause | None = None

    def step(self, minute: int, count: int, logins: int, p: float, least: int) -> Pause | None:
        """Add what a minute brought; a pause whose wave of log-ins is over by then."""
        if minute <= self.minute:
            self.count, self.logins = self.count + count, self.logins + logins
            return None
        ended = self._close(minute) if self.minute >= 0 else None
        if self.minute >= 0 and (gap := minute - self.minute - 1):
            self._miss(gap, p, least)
        self.minute, self.count, self.logins = minute, count, logins
        return ended

    def _close(self, now: int) -> Pause | None:
        self._push([self.count], [self.logins])
        if self.pause is None:
            return None
        if self.pause.end <= self.minute < self.pause.end + WAVE:
            self.pause = replace(self.pause, entered=self.pause.entered + self.logins)
        if now < self.pause.end + WAVE:
            return None
        ended, self.pause = self.pause, None
        return ended

    def _push(self, counts: list[int], entries: list[int]) -> None:
        self.counts = (self.counts + counts)[-HOUR:]
        self.entries = (self.entries + entries)[-HOUR:]

    def _miss(self, gap: int, p: float, least: int) -> None:
        """Minutes without anything: a pause to be told, which teaches nothing, or part of how the store is."""
        expected = median(self.counts) * gap
        surprise = _SIZE * log10(1 + expected / _SIZE)  # of a negative binomial's zero
        hour = (self.minute + 1) // 60 % 24
        longest = max((len(list(run)) for empty, run in groupby(self.counts, key=lambda n: n == 0) if empty), default=0)
        odd = len(self.counts) == HOUR and gap >= least and surprise >= -log10(p) and gap > _LONGER * longest
        if not odd:
            self._push([0] * min(gap, HOUR), [0] * min(gap, HOUR))
        elif gap > _AGAIN * self.known[hour] and self.pause is None:
            usual = sum(self.entries) * WAVE / HOUR
            self.pause = Pause(self.minute + 1, self.minute + 1 + gap, expected, surprise, usual)
            self.known[hour] = gap


_PAUSE: Final = {
    "start": pl.Int64(), "end": pl.Int64(), "expected": pl.Float64(), "surprise": pl.Float64(), "usual": pl.Float64(),
    "entered": pl.Int64(),
}  # fmt: skip
_NUMBERS: Final = pl.List(pl.Int64())
SCHEMA: Final = pl.Schema(
    {
        "store": pl.String(), "minute": pl.Int64(), "count": pl.Int64(), "logins": pl.Int64(), "counts": _NUMBERS,
        "entries": _NUMBERS, "known": _NUMBERS, **_PAUSE,
    }
)  # fmt: skip


def packed(stores: Mapping[str, Store]) -> pl.DataFrame:
    """One row per store; without a pause its columns are null."""
    rows = []
    for name, s in stores.items():
        pause = [getattr(s.pause, column) if s.pause else None for column in _PAUSE]
        rows.append((name, s.minute, s.count, s.logins, s.counts, s.entries, s.known, *pause))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def unpacked(frame: pl.DataFrame) -> dict[str, Store]:
    """The inverse of `packed`."""
    return {
        name: Store(minute, count, logins, counts, entries, known, None if pause[0] is None else Pause(*pause))
        for name, minute, count, logins, counts, entries, known, *pause in frame.iter_rows()
    }
