"""Service level indicators per window of event time, whatever the cut of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.core.schema import SLI, TIME, empty
from pipeline.sli.cached import KNOWN, Cached
from pipeline.sli.clocks import Clocks
from pipeline.sli.lifetimes import Lifetimes
from pipeline.sli.places import Places, named
from pipeline.sli.rows import SHARES, rolled_up, rows
from pipeline.sli.sums import Sums
from pipeline.sli.tally import BINNED, SECOND, Place, binned, counted, placed, totals, with_thresholds

if TYPE_CHECKING:
    from pipeline.core.model import Frames
    from pipeline.sli.config import Config


class Slis:
    """M1 to M5 and M8 to M10 per window, for stores, namespaces and mounts; satisfies `core.ports.Stateful`.

    `late` counts operations whose window was forgotten, `capped` those told under `other`. User-seen success (a
    retry within seconds that works) is not told: it would need every failed read to be remembered.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.late = 0
        self.capped = 0
        size = config.window_seconds * SECOND
        self._close = size + config.grace_seconds * SECOND  # after a window's start
        self._forget = self._close + config.late_windows * size
        self._watermark = -(1 << 62)
        self._windows: dict[int, Places] = {}
        self._cached = Cached(config)
        self._lifetimes = Lifetimes(config)
        self._clocks = Clocks(config)
        self._totals = Sums(counted(config), ["window", "place"])
        self._bins = Sums(BINNED, ["window", "place", "bin"])

    def push(self, operations: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
        """Count operations; every later one completes at or after `watermark_us`.

        Returns `core.schema.SLI` rows of the windows that closed, and again, with all that is known, those of closed
        windows that late operations fell into. The last row of (sli, store, scope, window_start) is the valid one.
        """
        touched = self._count(operations)
        before, self._watermark = self._watermark, max(self._watermark, watermark_us)
        ends = {window: window + self._close for window in self._windows}
        closed = self._rows([w for w, end in ends.items() if before < end <= self._watermark])
        late = self._rows([w for w in set(touched["window"]) if ends[w] <= before], touched)
        self._drop()
        parts = [closed, late, self._clocks.push(operations, watermark_us)]
        told = [part for part in parts if part.height]
        return pl.concat(told) if told else closed

    @property
    def closed_until_us(self) -> int:
        """Windows that start by then have been told of as closed."""
        return self._watermark - self._close

    def turn(self, to_us: int) -> None:
        """The clock was set back to `to_us`: windows from there on are not late."""
        self._watermark = min(self._watermark, to_us)
        self._clocks.turn(to_us)

    def flush(self) -> pl.DataFrame:
        """Rows of the windows still open, as far as they are known; nothing is forgotten and nothing closed."""
        still = self._rows([window for window in self._windows if window + self._close > self._watermark])
        return pl.concat([still, self._clocks.flush()])

    def quantiles(self) -> pl.DataFrame:
        """Columns store, scope, window_start, p50, p95, p99 (ms, within 1 %) of every window still remembered."""
        if not self._windows:
            return pl.DataFrame(schema={"store": pl.String, "scope": pl.String, "window_start": TIME, **_TIMES})
        wide = self._rolled_up(list(self._windows))
        return wide.select("store", "scope", pl.col("window").cast(TIME).alias("window_start"), *SHARES)

    def merge(self, other: Slis) -> None:
        """Add what another instance counted of other operations. Raises ValueError for windows of another size.

        A read that both have counted as needed stays counted twice.
        """
        if other.config.window_seconds != self.config.window_seconds:
            raise ValueError("windows of different sizes cannot be merged")
        self._take(other.snapshot())
        self._lifetimes.add(other._lifetimes)
        self._clocks.add(other._clocks)
        self._watermark = max(self._watermark, other._watermark)
        self.late += other.late
        self.capped += other.capped

    def snapshot(self) -> Frames:
        """places, totals and bins by window, what caches would know, declared secrets and clocks, and meta: one row."""
        meta = {"watermark_us": [self._watermark], "late": [self.late], "capped": [self.capped]}
        return {
            "places": named(self._windows).drop("place"),
            "totals": self._totals.settled().sort("window", "place"),
            "bins": self._bins.settled().sort("window", "place", "bin"),
            "cached": self._cached.snapshot(),
            "declared": self._lifetimes.snapshot(),
            **self._clocks.snapshot(),
            "meta": pl.DataFrame(meta),
        }

    def restore(self, frames: Frames) -> None:
        """Go on from a snapshot, also one taken under other objectives."""
        self._windows = {}
        self._totals.clear()
        self._bins.clear()
        self._cached.clear()
        self._take(frames)
        self._lifetimes.restore(frames)
        self._clocks.restore(frames)
        meta = frames["meta"].row(0, named=True)
        self._watermark, self.late, self.capped = meta["watermark_us"], meta["late"], meta["capped"]

    def _count(self, operations: pl.DataFrame) -> pl.DataFrame:
        """Add operations; columns window and place (its number there) of where they fell."""
        found, places = placed(operations, self.config)
        told = np.maximum(found["complete"].to_numpy(), self._watermark)
        kept = found["window"].to_numpy() + self._forget > told
        if not kept.all():
            self.late += int(np.count_nonzero(~kept))
            found, operations, told = found.filter(kept), operations.filter(kept), told[kept]
        kinds = self._cached.kinds(operations, found["at"].to_numpy(), told)
        kept = found.with_columns(lookup=pl.Series(kinds))
        sums, bins = totals(kept, self._lifetimes.count(operations, kept), self.config), binned(kept, self.config)
        numbers = sums.select("window", "place", number=self._numbers(sums, places))
        self._totals.add(sums.with_columns(place=numbers["number"]))
        self._bins.add(bins.join(numbers, on=["window", "place"]).with_columns(place="number"))
        return numbers.select("window", place="number")

    def _numbers(self, sums: pl.DataFrame, places: list[Place]) -> pl.Series:
        """The number in its window of each row's place, in the order in which they appear."""
        numbers = []
        for window, place, attempts in sums.select("window", "place", "attempts").iter_rows():
            known = self._places(window)
            numbers.append(known.number(places[place]))
            self.capped += attempts if known.is_other(numbers[-1]) else 0
        return pl.Series(numbers, dtype=pl.Int64)

    def _take(self, frames: Frames) -> None:
        places = frames["places"].with_columns(place=pl.int_range(pl.len()).over("window"))
        told = [self._places(window).number((store, space, mount)) for window, store, space, mount, _ in places.rows()]
        numbers = places.select("window", "place", number=pl.Series(told, dtype=pl.Int64))
        counts = with_thresholds(frames["totals"], frames["bins"], self.config)
        self._cached.add(frames.get("cached", pl.DataFrame(schema=KNOWN)))
        for sums, frame in ((self._totals, counts), (self._bins, frames["bins"])):
            sums.add(frame.join(numbers, on=["window", "place"]).with_columns(place="number"))

    def _places(self, window: int) -> Places:
        if window not in self._windows:
            self._windows[window] = Places(self.config)
        return self._windows[window]

    def _drop(self) -> None:
        """Forget windows that nothing late can count for any more."""
        self._cached.forget(self._watermark)
        kept = {w: places for w, places in self._windows.items() if w + self._forget > self._watermark}
        if len(kept) < len(self._windows):
            self._windows = kept
            self._totals.keep(kept)
            self._bins.keep(kept)

    def _rolled_up(self, windows: list[int], touched: pl.DataFrame | None = None) -> pl.DataFrame:
        places = named({window: self._windows[window] for window in windows})
        return rolled_up(places, self._totals.of(windows), self._bins.of(windows), touched)

    def _rows(self, windows: list[int], touched: pl.DataFrame | None = None) -> pl.DataFrame:
        """Rows of some windows, of the scopes that share a place with `touched` where that is given."""
        if not windows:
            return empty(SLI)
        return rows(self._rolled_up(windows, touched), self.config)


_TIMES = dict.fromkeys(SHARES, pl.Float64())
