"""The one number a user sets, kept: which findings are worth an alert when about so many a day are wanted.

Every family of detectors has a share of the day and its own threshold, so that a noisy one takes nothing from the
others. The thresholds are what would have made the last seven days come out right, set anew every hour: a frozen
threshold breaks its promise as soon as the estate changes. What several families say of one principal on one day is
one alert and counts once; what a family does not use, the others may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
SPAN_DAYS: Final = 7
KEPT: Final = 20_000
SCHEMA: Final = pl.Schema(
    {"at_us": pl.Int64(), "family": pl.String(), "unit": pl.UInt64(), "score": pl.Float64(), "free": pl.Boolean()}
)
_STEPS: Final = 24  # halvings of the scale of all shares

Row = tuple[int, str, int, float, bool]


class Allowance:
    """Remembers the candidates of the last seven days. `per_day` is how many alerts a day are wanted in all.

    A candidate's unit is what it would be an alert about (principal, secret or store) on one UTC day. Free candidates
    are told whatever their number; what they use, the others do without, down to half of `per_day`.
    """

    def __init__(self, per_day: float, shares: Mapping[str, float], share_of_others: float) -> None:
        self._per_day, self._shares, self._other = per_day, dict(shares), share_of_others
        self._first_us: int | None = None
        self._rows: list[Row] = []
        self._thresholds: dict[str, float] = {}
        self._hour = -1

    def note(self, at_us: int, family: str, key: int, score: float, *, free: bool = False) -> None:
        """Add a candidate, told or not. `key` is a hash of what it is about."""
        self._first_us = at_us if self._first_us is None else self._first_us
        unit = (key ^ (at_us // DAY_US * 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF
        self._rows.append((at_us, family, unit, score, free))
        if len(self._rows) > 2 * KEPT:
            self._rows = self._rows[-KEPT:]

    def threshold(self, at_us: int, family: str) -> float:
        """What a score must reach at `at_us`; it depends on what was noted before that hour alone."""
        hour = at_us // HOUR_US
        if hour != self._hour:
            self._hour = hour
            self._thresholds = self._set(hour * HOUR_US)
        return self._thresholds.get(family, 0.0)

    def _set(self, now_us: int) -> dict[str, float]:
        since = now_us - SPAN_DAYS * DAY_US
        self._rows = [row for row in self._rows if row[0] > since]
        past = [row for row in self._rows if row[0] < now_us]
        if not past or self._first_us is None:
            return {}
        days = min(max((now_us - self._first_us) / DAY_US, 1.0), SPAN_DAYS)
        free = {row[2] for row in past if row[4]}
        allowed = self._per_day * days
        allowed = max(allowed - len(free), allowed / 2)
        return _levels([row for row in past if not row[4]], self._share, allowed, free)

    def _share(self, family: str) -> float:
        return self._shares.get(family, self._other)

    def snapshot(self) -> pl.DataFrame:
        """A frame of SCHEMA, oldest first; before it a row without family that tells when the first one came."""
        head = [] if self._first_us is None else [(self._first_us, "", 0, 0.0, True)]
        return pl.DataFrame(head + self._rows, schema=SCHEMA, orient="row")

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`."""
        rows = list(frame.iter_rows())
        self._first_us = rows[0][0] if rows else None
        self._rows, self._hour = rows[1:], -1


def _levels(past: list[Row], share: Callable[[str], float], allowed: float, free: set[int]) -> dict[str, float]:
    """Per family the score that makes about `allowed` units come through, each family its share of them."""
    ranked = _ranked(past)
    weights = {family: share(family) for family in ranked}
    high = max((len(scores) / weights[family] for family, (scores, _) in ranked.items()), default=0.0) + 1.0

    def told(scale: float) -> int:
        names = [names[: int(scale * weights[family])] for family, (_, names) in ranked.items()]
        return len(set(np.concatenate(names).tolist()) - free) if names else 0

    if told(high) <= allowed:
        return {}
    low = 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if told(middle) <= allowed else (low, middle)
    counts = {family: int(low * weights[family]) for family in ranked}
    return {
        family: float(np.nextafter(scores[counts[family]], 2.0))
        for family, (scores, _) in ranked.items()
        if counts[family] < len(scores)
    }


def _ranked(past: list[Row]) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.uint64]]]:
    """Per family the best score of each unit, highest first, and the units."""
    units: dict[str, dict[int, float]] = {}
    for _, family, unit, score, _ in past:
        best = units.setdefault(family, {})
        best[unit] = max(best.get(unit, 0.0), score)
    ranked = {}
    for family, best in sorted(units.items()):
        names = np.fromiter(best.keys(), np.uint64, len(best))
        scores = np.fromiter(best.values(), np.float64, len(best))
        order = np.lexsort((names, -scores))
        ranked[family] = scores[order], names[order]
    return ranked
