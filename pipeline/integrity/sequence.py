"""The numbers that one device has of a canary client: which came, which are missing, which came out of order or again.

A number that is skipped opens a hole. Honest disorder fills it within two seconds; what is still missing then is lost
(or was never sent). Everything here follows from the canary entries in canonical order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from pipeline.integrity.places import HONEST_US

REMEMBERED: Final = 4096  # numbers a device remembers by request: a repeated one is told from the same one's other half
HOLES: Final = 1024
SPANS: Final = 8


class Spot(NamedTuple):
    """Where an entry stands: byte position, event time and place in the canonical order (µs), file."""

    position: int
    time: int
    order: int
    file: str


NOWHERE: Final = Spot(0, 0, 0, "")


@dataclass(slots=True)
class Hole:
    """Numbers `first` to `last` did not come when they were due. `missing` are closed intervals, rising."""

    first: int
    last: int
    before: Spot
    after: Spot
    missing: list[tuple[int, int]]
    restarted: bool = False  # the device was enabled again in between
    told: bool = False
    late: int = 0  # numbers that came too late to be honest disorder
    latest: Spot | None = None

    @property
    def due(self) -> int:
        """When it is told, in µs of the canonical order: nothing that is merely out of order can still come."""
        return self.after.order + HONEST_US

    @property
    def count(self) -> int:
        """How many numbers are missing."""
        return sum(high - low + 1 for low, high in self.missing)

    def misses(self, number: int) -> bool:
        """Whether this number is one of those that did not come."""
        return any(low <= number <= high for low, high in self.missing)

    def fill(self, number: int, spot: Spot) -> bool:
        """A missing number has come; whether it came too late to be honest."""
        parts = [(low, high) for low, high in self.missing if not low <= number <= high]
        for low, high in self.missing:
            if low <= number <= high:
                parts += [part for part in ((low, number - 1), (number + 1, high)) if part[0] <= part[1]]
        self.missing = sorted(parts)
        late = spot.order - self.after.order > HONEST_US or self.after.time - spot.time > HONEST_US
        if late:
            self.late, self.latest = self.late + 1, spot
        return late


@dataclass(frozen=True, slots=True)
class Change:
    """The canary's token hashes differently between two neighbouring entries of a device."""

    source: str
    numbers: tuple[int, int]
    before: Spot
    after: Spot
    session: str  # the token as the device names it from here on

    @property
    def due(self) -> int:
        """When it is judged, in µs of the canonical order."""
        return self.after.order + HONEST_US


@dataclass(slots=True)
class Span:
    """A stretch of time in which every number came and the client was never silent for long."""

    start: int
    end: int
    first: int
    last: int


@dataclass(slots=True)
class Device:
    """One device's numbers. `recent` maps a number to the request that carried it and the hash of its token."""

    source: str
    first: int = -1
    high: int = -1
    spot: Spot = NOWHERE  # the last entry of the highest number
    recent: dict[int, tuple[str, str]] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    restarted: bool = False  # enabled again since the highest number

    def take(self, number: int, request: str, token: str, spot: Spot, silence_us: int) -> str:
        """One canary entry: `first`, `next`, `skip`, `half`, `late`, `old` or `again`, by its number."""
        known = self.recent.get(number)
        if known is not None:
            if known[0] == request and number == self.high:
                self._extend(number, spot)
            return "half" if known[0] == request else "again"
        if self.high < 0:
            self.first = number
            return self._move(number, request, token, spot, silence_us, "first")
        if number > self.high:
            if number > self.high + 1:
                gap = self.high + 1, number - 1
                if len(self.holes) >= HOLES and self.holes[0].told:
                    del self.holes[0]
                self.holes.append(Hole(*gap, self.spot, spot, [gap], self.restarted))
            return self._move(number, request, token, spot, silence_us, "next" if number == self.high + 1 else "skip")
        if number < self.first:
            return "old"  # of before this device was first heard of
        hole = next((hole for hole in self.holes if hole.misses(number)), None)
        if hole is None:
            return "again"
        self._remember(number, request, token)
        return "late" if hole.fill(number, spot) else "next"

    def _move(self, number: int, request: str, token: str, spot: Spot, silence_us: int, word: str) -> str:  # noqa: PLR0917
        if not self.spans or spot.time - self.spot.time > silence_us:
            self.spans = [*self.spans[1 - SPANS :], Span(spot.time, spot.time, number, number)]
        self._extend(number, spot)
        self._remember(number, request, token)
        self.high, self.restarted = number, False
        return word

    def _extend(self, number: int, spot: Spot) -> None:
        self.spot = spot
        span = self.spans[-1]
        span.end, span.last = max(span.end, spot.time), number

    def _remember(self, number: int, request: str, token: str) -> None:
        self.recent[number] = (request, token)
        if len(self.recent) > REMEMBERED:
            del self.recent[next(iter(self.recent))]

    def untold(self) -> Iterator[Hole]:
        """The holes that are not told yet: they are the newest."""
        return takewhile(lambda hole: not hole.told, reversed(self.holes))

    def holding(self, number: int) -> Hole | None:
        """The hole that a number belongs to, missing or come late."""
        return next((hole for hole in self.holes if hole.first <= number <= hole.last), None)

    def has(self, number: int) -> bool:
        """Whether the number came, as far as is remembered."""
        return self.first <= number <= self.high and not any(hole.misses(number) for hole in self.holes)

    def split(self, hole: Hole) -> None:
        """A hole was told: no span reaches over it."""
        for at, span in enumerate(self.spans):
            if span.first < hole.first and span.last > hole.last:
                before = Span(span.start, hole.before.time, span.first, hole.first - 1)
                after = Span(hole.after.time, span.end, hole.last + 1, span.last)
                self.spans[at : at + 1] = [before, after]
                return
