"""People who never sleep: in how many hours of the last day each was there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._memory import Keys, Table
from detectors._since import Since
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from detectors.dormancy.rhythm import Present
    from pipeline.core.model import Frames, Ints

_DAY: Final = 24  # hours, a bit for each
_SETTLED_US: Final = 72 * HOUR_US  # in which it is learned who does so
_RARE: Final = 0.02  # of the people may ever have done so, before it is no news here
_ALL: Final = np.zeros(1, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Hours:
    """The people of a window: row i of every array is row `rows[i]` of Present."""

    rows: Ints
    keys: Keys
    bits: Keys  # the hours of the last day each was there in, this one the lowest bit
    most: Floats  # that there ever were in a day before
    met: Bools

    @property
    def count(self) -> Floats:
        """Hours of the last day."""
        return np.bitwise_count(self.bits).astype(np.float64)


class Unrest:
    """Per person the hours of the last day and the most there ever were: 32 bytes."""

    def __init__(self, limit: int, least: int) -> None:
        self._hours = Table(2, limit)
        self._people = Table(2, 1)  # how many there are, and how many of them ever had `least` hours
        self._since = Since()
        self._least = least

    def of(self, present: Present, at_us: int) -> Hours:
        """The people among those present."""
        rows = np.flatnonzero((present.frame["kind"] == "human").to_numpy())
        keys = present.keys[rows]
        own, seen = self._hours.get(keys, at_us), self._hours.seen(keys)
        gone = np.clip((at_us - seen) // HOUR_US, 0, _DAY).astype(np.uint64)
        bits = (own[:, 0].astype(np.uint64) << gone | np.uint64(1)) & np.uint64((1 << _DAY) - 1)
        return Hours(rows, keys, bits, own[:, 1], seen > 0)

    def odd(self, hours: Hours, at_us: int) -> Bools:
        """Who is there round the clock for the first time, where hardly anybody ever is."""
        everybody, restless = self._people.get(_ALL, at_us)[0]
        known = self._since.age_us(at_us) >= _SETTLED_US and restless <= _RARE * everybody
        return (hours.count >= self._least) & (hours.most < self._least) & known

    def learn(self, hours: Hours, at_us: int) -> None:
        """Add a closed window."""
        self._since.begin(at_us)
        count = hours.count
        new = float((~hours.met).sum())
        restless = float(((count >= self._least) & (hours.most < self._least)).sum())
        if new or restless:
            self._people.add(_ALL, np.array([[new, restless]]), at_us)
        values = np.column_stack([hours.bits.astype(np.float64), np.maximum(hours.most, count)])
        self._hours.put(hours.keys, values, at_us)

    def snapshot(self) -> Frames:
        """Frames unrest.hours, unrest.people and unrest.age."""
        tables = {"unrest.hours": self._hours.snapshot(), "unrest.people": self._people.snapshot()}
        return {**tables, "unrest.age": self._since.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before there was this memory."""
        if "unrest.hours" in frames:
            self._hours.restore(frames["unrest.hours"])
            self._people.restore(frames["unrest.people"])
            self._since.restore(frames["unrest.age"])
