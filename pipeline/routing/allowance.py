"""The one number a user sets, kept: which findings are worth an alert when about so many a day are wanted.

Every family of detectors has a share of the day and its own threshold, so that a noisy one takes nothing from the
others. The thresholds are what would have made today and the seven days before come out right, set anew every hour: a
frozen one breaks its promise as soon as the estate changes. What several families say of one principal on one day is
one alert and counts once; what a family does not use, the others may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.clock import DAY_US, HOUR_US

SPAN_DAYS: Final = 7  # whole days behind today
KEPT: Final = 4_096  # units of one family and day; past it the weaker half goes
SCHEMA: Final = pl.Schema(
    {
        "at_us": pl.Int64(),  # of a candidate of the hour that goes on, else of the day it was on
        "family": pl.String(),
        "unit": pl.UInt64(),
        "score": pl.Float64(),
        "free": pl.Boolean(),
        "kind": pl.String(),  # first, day, hour
    }
)
_CLOSED: Final = 2.0  # no score reaches it
_ALL: Final = 1.25  # times what is wanted may be told with all that is free
_STEPS: Final = 16  # halvings of the scale of all shares

Floats = npt.NDArray[np.float64]
Units = npt.NDArray[np.uint64]
Candidate = tuple[int, str, int, float, bool]


@dataclass(slots=True)
class _Day:
    """The best score of each unit by family, and the units that were told whatever their score."""

    best: dict[str, dict[int, float]] = field(default_factory=dict)
    free: set[int] = field(default_factory=set)
    packed: dict[str, tuple[Floats, Units]] = field(default_factory=dict)

    def add(self, family: str, unit: int, score: float, *, free: bool) -> None:
        if free:
            self.free.add(unit)
            return
        best = self.best.setdefault(family, {})
        best[unit] = max(best.get(unit, 0.0), score)
        self.packed.pop(family, None)
        if len(best) > KEPT:
            kept = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: KEPT // 2]
            self.best[family] = dict(kept)

    def arrays(self, family: str) -> tuple[Floats, Units]:
        if family not in self.packed:
            best = self.best[family]
            scores = np.fromiter(best.values(), np.float64, len(best))
            self.packed[family] = scores, np.fromiter(best.keys(), np.uint64, len(best))
        return self.packed[family]


class Allowance:
    """Remembers the candidates of today and the seven days before. `per_day` is how many alerts a day are wanted.

    A candidate's unit is what it would be an alert about (principal, secret or store) on one UTC day. Free candidates
    are told whatever their number. Where that makes more than five quarters of `per_day` of all together, the others do
    without, down to half: an attack that breaks rules must not silence what else it does. Times must not step back.
    """

    def __init__(self, per_day: float, shares: Mapping[str, float], share_of_others: float) -> None:
        self._per_day, self._shares, self._other = per_day, dict(shares), share_of_others
        self._first_us: int | None = None
        self._days: dict[int, _Day] = {}
        self._hour: list[Candidate] = []  # of the hour that goes on: it does not count before it is over
        self._thresholds: dict[str, float] | None = None

    def note(self, at_us: int, family: str, key: int, score: float, *, free: bool = False) -> None:
        """Add a candidate, told or not. `key` is a hash of what it is about."""
        self._first_us = at_us if self._first_us is None else self._first_us
        self._turn(at_us)
        unit = (key ^ (at_us // DAY_US * 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF
        self._hour.append((at_us, family, unit, score, free))

    def threshold(self, at_us: int, family: str, *, spare: bool = False) -> float:
        """What a score must reach at `at_us`; it depends on what was noted before that hour alone.

        A family that said nothing of late may speak, unless all it wants is room to spare and there is none.
        """
        self._turn(at_us)
        if self._thresholds is None:
            self._thresholds = self._set(at_us // HOUR_US * HOUR_US)
        return self._thresholds.get(family, _CLOSED if spare and self._thresholds else 0.0)

    def _turn(self, at_us: int) -> None:
        """Another hour: the one before it counts."""
        if self._hour and self._hour[0][0] // HOUR_US == at_us // HOUR_US:
            return
        for noted_us, family, unit, score, free in self._hour:
            self._days.setdefault(noted_us // DAY_US, _Day()).add(family, unit, score, free=free)
        self._thresholds, self._hour = None, []
        self._days = {day: kept for day, kept in self._days.items() if day >= at_us // DAY_US - SPAN_DAYS}

    def _set(self, now_us: int) -> dict[str, float]:
        if self._first_us is None:
            return {}
        since_us = max(self._first_us, (now_us // DAY_US - SPAN_DAYS) * DAY_US)
        allowed = self._per_day * max((now_us - since_us) / DAY_US, 1.0)
        days = [self._days[day] for day in sorted(self._days)]
        free = {unit for day in days for unit in day.free}
        allowed = max(min(allowed, allowed * _ALL - len(free)), allowed / 2)
        ranked = {}
        for family in sorted({name for day in days for name in day.best}):
            parts = [day.arrays(family) for day in days if family in day.best]
            scores, units = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            order = np.lexsort((units, -scores))
            ranked[family] = scores[order], units[order]
        return _levels(ranked, lambda family: self._shares.get(family, self._other), allowed, free)

    def snapshot(self) -> pl.DataFrame:
        """A frame of SCHEMA."""
        rows: list[tuple[int, str, int, float, bool, str]] = []
        if self._first_us is not None:
            rows.append((self._first_us, "", 0, 0.0, False, "first"))
        for number, day in sorted(self._days.items()):
            at_us = number * DAY_US
            rows += [(at_us, "", unit, 0.0, True, "day") for unit in sorted(day.free)]
            rows += [
                (at_us, f, unit, score, False, "day") for f, best in day.best.items() for unit, score in best.items()
            ]
        rows += [(*candidate, "hour") for candidate in self._hour]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`."""
        self._first_us, self._days, self._hour, self._thresholds = None, {}, [], None
        for at_us, family, unit, score, free, kind in frame.iter_rows():
            if kind == "first":
                self._first_us = at_us
            elif kind == "hour":
                self._hour.append((at_us, family, unit, score, free))
            else:
                self._days.setdefault(at_us // DAY_US, _Day()).add(family, unit, score, free=free)


def _levels(
    ranked: dict[str, tuple[Floats, Units]], share: Callable[[str], float], allowed: float, free: set[int]
) -> dict[str, float]:
    """Per family the score that makes about `allowed` units come through, each family its share of them."""
    weights = {family: share(family) for family in ranked}
    high = max((len(scores) / weights[family] for family, (scores, _) in ranked.items()), default=0.0) + 1.0
    needed = _scales(ranked, weights, free)

    def told(scale: float) -> int:
        return int(np.searchsorted(needed, scale, "right"))

    if told(high) <= allowed:
        return {}
    low = 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if told(middle) <= allowed else (low, middle)
    counts = {family: int(low * weights[family]) for family in ranked}
    return {
        family: float(np.nextafter(scores[counts[family]], _CLOSED))
        for family, (scores, _) in ranked.items()
        if counts[family] < len(scores)
    }


def _scales(ranked: dict[str, tuple[Floats, Units]], weights: Mapping[str, float], free: set[int]) -> Floats:
    """The scale from which on each unit that is not free comes through, by its best place in any family; ascending."""
    scales = [np.arange(1, len(units) + 1) / weights[family] for family, (_, units) in ranked.items()]
    if len(scales) == 1 and not free:
        return scales[0]
    every = np.concatenate([np.empty(0, np.uint64), *(units for _, units in ranked.values())])
    needed = np.concatenate([np.empty(0), *scales])
    if free:
        others = np.isin(every, np.fromiter(free, np.uint64, len(free)), invert=True)
        every, needed = every[others], needed[others]
    order = np.argsort(needed, kind="stable")
    _, first = np.unique(every[order], return_index=True)
    return np.sort(needed[order][first])
