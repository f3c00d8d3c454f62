"""What share of a key's operations failed in the month before: an objective that was never met is no news every day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors._usual import Floats
    from detectors.sli_burn.ring import Key, Ring
    from pipeline.core.model import Frames

_FORGET_DAYS: Final = 10  # what is older counts for little: with this, a month is all there is
_LEAST_DAYS: Final = 3  # of a memory that says what is usual
_LITTLE: Final = 0.02
_SCHEMA: Final = {
    "sli": pl.String, "store": pl.String, "scope": pl.String, "days": pl.Int64, "share": pl.Float64,
}  # fmt: skip


class Usual:
    """The mean of a key's daily shares, fading, each day alike: a storm of retries is one day.

    From the fourth day on a day counts for no more than twice the usual and a little: an outage is no habit. A day is
    learned when it is over, so none judges itself.
    """

    def __init__(self) -> None:
        self._day = -1
        self._shares: dict[Key, tuple[int, float]] = {}  # days with any, their mean

    def advance(self, ring: Ring, window: int, size_us: int) -> None:
        """Window number `window`, of `size_us`, begins, and `ring` ends before it: learn a day that is over."""
        day = window * size_us // DAY_US
        if day == self._day:
            return
        if self._day >= 0:
            self._learn(ring.keys, ring.over(DAY_US // size_us))
        self._day = day

    def _learn(self, keys: Sequence[Key], sums: Floats) -> None:
        before, self._shares = self._shares, {}
        for key, (failed, total) in zip(keys, sums.tolist(), strict=True):
            days, mean = before.get(key, (0, 0.0))
            if total > 0:
                share = failed / total if days < _LEAST_DAYS else min(failed / total, 2 * mean + _LITTLE)
                days += 1
                mean += (share - mean) / min(days, _FORGET_DAYS)
            self._shares[key] = days, mean

    def share(self, keys: Sequence[Key]) -> Floats:
        """The share that fails as a rule; 0 where fewer than three days are known."""
        known = [self._shares.get(key, (0, 0.0)) for key in keys]
        return np.array([mean if days >= _LEAST_DAYS else 0.0 for days, mean in known])

    def snapshot(self) -> Frames:
        """Frames usual.shares, usual.day."""
        rows = [(*key, *known) for key, known in self._shares.items()]
        return {
            "usual.shares": pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
            "usual.day": pl.DataFrame({"day": [self._day]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "usual.shares" in frames:
            self._day = int(frames["usual.day"]["day"][0])
            self._shares = {(a, b, c): (days, share) for a, b, c, days, share in frames["usual.shares"].iter_rows()}
