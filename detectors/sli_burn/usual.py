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

_FORGET_DAYS: Final = 10.0  # what is older counts for little: with this, a month is all there is
_LEAST_DAYS: Final = 3  # of a memory that says what is usual
_SCHEMA: Final = {
    "sli": pl.String, "store": pl.String, "scope": pl.String, "days": pl.Int64, "failed": pl.Float64,
    "total": pl.Float64,
}  # fmt: skip


class Usual:
    """Failed and total by key, a day at a time, fading. A day is learned when it is over, so none judges itself."""

    def __init__(self) -> None:
        self._day = -1
        self._sums: dict[Key, tuple[int, float, float]] = {}  # days with any, failed, total

    def advance(self, ring: Ring, window: int, size_us: int) -> None:
        """Let window number `window`, of `size_us`, be the newest: where a day ended, learn it from the ring."""
        day = window * size_us // DAY_US
        if day == self._day:
            return
        if self._day >= 0:
            self._learn(ring.keys, ring.over(DAY_US // size_us))
        self._day = day

    def _learn(self, keys: Sequence[Key], sums: Floats) -> None:
        fade = 1 - 1 / _FORGET_DAYS
        before, self._sums = self._sums, {}
        for key, (failed, total) in zip(keys, sums.tolist(), strict=True):
            days, old_failed, old_total = before.get(key, (0, 0.0, 0.0))
            self._sums[key] = days + (total > 0), fade * old_failed + failed, fade * old_total + total

    def share(self, keys: Sequence[Key]) -> Floats:
        """The share that failed; 0 where fewer than three days are known."""
        known = [self._sums.get(key, (0, 0.0, 0.0)) for key in keys]
        return np.array([failed / total if days >= _LEAST_DAYS and total else 0.0 for days, failed, total in known])

    def snapshot(self) -> Frames:
        """Frames usual.sums, usual.day."""
        rows = [(*key, *sums) for key, sums in self._sums.items()]
        return {
            "usual.sums": pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
            "usual.day": pl.DataFrame({"day": [self._day]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "usual.sums" in frames:
            self._day = int(frames["usual.day"]["day"][0])
            self._sums = {
                (a, b, c): (days, failed, total) for a, b, c, days, failed, total in frames["usual.sums"].iter_rows()
            }
