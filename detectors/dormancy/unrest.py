"""People who never sleep: in how many hours of the last day each was there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._memory import Keys, Table
from detectors._since import Since
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from detectors.dormancy.rhythm import Present
    from pipeline.core.model import Frames, Ints, Window

_DAY: Final = 24  # hours, a bit for each
_SETTLED_US: Final = 72 * HOUR_US  # in which it is learned who does so
_AGAIN_US: Final = 28 * DAY_US  # after which it is news of the same person once more
_RARE: Final = 0.02  # of the people, or one of them, may have done so untold, before it is no news here
_ALL: Final = np.zeros(1, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Hours:
    """The people of a window: row i of every array is row `rows[i]` of Present."""

    rows: Ints
    keys: Keys
    bits: Keys  # the hours of the last day each was there in, the window's last one the lowest bit
    restless_us: Floats  # when it was too many the last time, 0 for never
    met: Bools
    at_us: int  # the window's end

    @property
    def count(self) -> Floats:
        """Hours of the last day."""
        return np.bitwise_count(self.bits).astype(np.float64)


class Unrest:
    """Per person the hours of the last day, and when they were `least` or more the last time: 32 bytes."""

    def __init__(self, limit: int, least: int) -> None:
        self._hours = Table(2, limit)
        self._people = Table(2, 1)  # how many there are, and how many of them had `least` hours, and nobody said so
        self._since = Since()
        self._least = least

    def of(self, present: Present, window: Window) -> Hours:
        """The people among those present; a window of several hours counts as all of them."""
        rows = np.flatnonzero((present.frame["kind"] == "human").to_numpy())
        keys, at_us = present.keys[rows], window.end_us - 1
        own, seen = self._hours.get(keys, at_us), self._hours.seen(keys)
        gone = np.clip(at_us // HOUR_US - seen // HOUR_US, 0, _DAY).astype(np.uint64)
        here = min(max(at_us // HOUR_US - window.start_us // HOUR_US + 1, 1), _DAY)
        bits = (own[:, 0].astype(np.uint64) << gone | np.uint64((1 << here) - 1)) & np.uint64((1 << _DAY) - 1)
        return Hours(rows, keys, bits, own[:, 1], seen > 0, at_us)

    def odd(self, hours: Hours) -> Bools:
        """Who is there round the clock for the first time in weeks, where hardly anybody ever is."""
        everybody, restless = self._people.get(_ALL, hours.at_us)[0]
        known = self._since.age_us(hours.at_us) >= _SETTLED_US and restless <= max(1.0, _RARE * everybody)
        odd: Bools = self._newly(hours) & known
        return odd

    def _newly(self, hours: Hours) -> Bools:
        rested = (hours.restless_us == 0) | (hours.at_us - hours.restless_us >= _AGAIN_US)
        newly: Bools = (hours.count >= self._least) & rested
        return newly

    def learn(self, hours: Hours, told: Bools) -> None:
        """Add a closed window. What was `told` is no habit of people."""
        self._since.begin(hours.at_us)
        new, restless = float((~hours.met).sum()), float((self._newly(hours) & ~told).sum())
        if new or restless:
            self._people.add(_ALL, np.array([[new, restless]]), hours.at_us)
        late = np.where(hours.count >= self._least, float(hours.at_us), hours.restless_us)
        self._hours.put(hours.keys, np.column_stack([hours.bits.astype(np.float64), late]), hours.at_us)

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
