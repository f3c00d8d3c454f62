"""Correlations over windows that slide: judged at every operation, over what came in the timespan up to it.

Times are those at which operations were complete, which never step back, so that how the stream was cut decides
nothing. Each kind keeps only what can still matter: of a count as many operations as it asks for, of values the newest
operation of each, of an order the newest beginning of each length, of a sum the newest that reach it; of an average or
a percentile all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.sigma import amounts
from detectors.sigma.judged import ROW, Counted, Distinct, InOrder
from pipeline.core.owned import owned
from pipeline.core.schema import conform

if TYPE_CHECKING:
    from detectors.sigma.judged import Judged, Truth
    from detectors.sigma.model import Correlation

_ORDER: Final = ("group", "at", "fresh", "uid", "member")  # what is remembered comes before what is new


@dataclass(slots=True)
class Met:
    """The operations at which a condition came to hold (ROW), for each the entries that made it hold and the amount."""

    rows: pl.DataFrame
    evidence: list[list[str]]
    observed: list[str]  # "" where no amount is asked


class Sliding:
    """One correlation's windows, and what it remembers: at most `limit` operations, the oldest are dropped first."""

    def __init__(self, correlation: Correlation, limit: int) -> None:
        self.correlation = correlation
        self._limit = limit
        self.kept = pl.DataFrame(schema=ROW)

    def push(self, rows: pl.DataFrame) -> Met:
        """`rows` (ROW) that came since; every later one is complete at the same moment or after."""
        first = int(rows["at"].to_numpy().min())
        held = self.kept.filter(pl.col("at") <= first)  # what was later than this was so before the clock was set back
        merged = pl.concat([held, rows]).sort(_ORDER, descending=[False, False, False, False, True])
        judged = _judge(self.correlation, merged, self._limit)
        met = np.where(merged["fresh"].to_numpy(), judged.met, merged["met"].to_numpy())
        picked = np.flatnonzero(self._rising(judged, met) & merged["fresh"].to_numpy()).tolist()
        self.kept = self._remembered(judged.keep(merged.with_columns(pl.Series("met", met))))
        return Met(merged[picked], [judged.evidence(i) for i in picked], [judged.observed(i) for i in picked])

    def _rising(self, judged: Judged, met: Truth) -> Truth:
        """Where it holds and did not hold right before: a burst is told once."""
        group, times = judged.group, judged.times
        before = np.zeros(len(met), dtype=np.bool_)
        near = (group[1:] == group[:-1]) & (times[1:] - times[:-1] < self.correlation.span_us)
        before[1:] = met[:-1] & near
        return met & ~before

    def _remembered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What can still matter, and of that the newest."""
        now = int(rows["at"].to_numpy().max())
        kept = rows.with_columns(fresh=pl.lit(value=False)).filter(pl.col("at") > now - self.correlation.span_us)
        if len(kept) > self._limit:
            kept = kept.sort("at", "uid", "member").tail(self._limit)
        return owned(kept.sort(_ORDER))

    def restore(self, kept: pl.DataFrame) -> None:
        """Continue from what was `kept`, perhaps before there were amounts."""
        self.kept = conform(kept, ROW)


def _judge(correlation: Correlation, rows: pl.DataFrame, limit: int) -> Judged:
    if correlation.asked is not None:
        return amounts.KINDS[correlation.kind](correlation, correlation.asked, rows, limit)
    kinds = {"event_count": Counted, "temporal_ordered": InOrder}
    return kinds.get(correlation.kind, Distinct)(correlation, rows)
