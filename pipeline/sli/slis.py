"""Service level indicators per window of event time, whatever the cut of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.core.schema import SLI, TIME, empty
from pipeline.sli.rows import SHARES, rolled_up, rows
from pipeline.sli.tally import BINNED, SECOND, Place, binned, counted, placed, totals, with_thresholds
from pipeline.sli.window import Tally

if TYPE_CHECKING:
    from pipeline.core.model import Frames
    from pipeline.sli.config import Config


class Slis:
    """M1, M2, M4 and M9 per window, for stores, namespaces and mounts; satisfies `core.ports.Stateful`.

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
        self._windows: dict[int, Tally] = {}

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
        self._windows = {w: tally for w, tally in self._windows.items() if w + self._forget > self._watermark}
        return pl.concat([closed, late]) if late.height else closed

    def turn(self, to_us: int) -> None:
        """The clock was set back to `to_us`: windows from there on are not late."""
        self._watermark = min(self._watermark, to_us)

    def flush(self) -> pl.DataFrame:
        """Rows of the windows still open, as far as they are known; nothing is forgotten and nothing closed."""
        return self._rows([window for window in self._windows if window + self._close > self._watermark])

    def quantiles(self) -> pl.DataFrame:
        """Columns store, scope, window_start, p50, p95, p99 (ms, within 1 %) of every window still remembered."""
        if not self._windows:
            return pl.DataFrame(schema={"store": pl.String, "scope": pl.String, "window_start": TIME, **_TIMES})
        wide = rolled_up(self._windows)
        return wide.select("store", "scope", pl.col("window").cast(TIME).alias("window_start"), *SHARES)

    def merge(self, other: Slis) -> None:
        """Add what another instance counted of other operations. Raises ValueError for windows of another size."""
        if other.config.window_seconds != self.config.window_seconds:
            raise ValueError("windows of different sizes cannot be merged")
        self._take(other.snapshot())
        self._watermark = max(self._watermark, other._watermark)
        self.late += other.late
        self.capped += other.capped

    def snapshot(self) -> Frames:
        """places, totals and bins by window, and meta: one row."""
        meta = {"watermark_us": [self._watermark], "late": [self.late], "capped": [self.capped]}
        places, sums, bins = [_by_window(_PLACES)], [_by_window(counted(self.config))], [_by_window(BINNED)]
        for window, tally in self._windows.items():
            start = pl.lit(window).alias("window")
            places.append(tally.names().select(start, pl.all()))
            for known, frame in zip((sums, bins), tally.settled(), strict=True):
                known.append(frame.select(start, pl.all()))
        return {
            "places": pl.concat(places),
            "totals": pl.concat(sums).sort("window", "place"),
            "bins": pl.concat(bins).sort("window", "place", "bin"),
            "meta": pl.DataFrame(meta),
        }

    def restore(self, frames: Frames) -> None:
        """Go on from a snapshot, also one taken under other objectives."""
        self._windows = {}
        self._take(frames)
        meta = frames["meta"].row(0, named=True)
        self._watermark, self.late, self.capped = meta["watermark_us"], meta["late"], meta["capped"]

    def _count(self, operations: pl.DataFrame) -> pl.DataFrame:
        """Add operations; columns window and place (its number there) of where they fell."""
        found, places = placed(operations, self.config)
        forgotten = pl.col("window") + self._forget <= pl.max_horizontal("complete", pl.lit(self._watermark))
        kept = found.filter(~forgotten)
        self.late += found.height - kept.height
        sums, bins = totals(kept, self.config), binned(kept)
        numbers = sums.select("window", "place", number=self._numbers(sums, places))
        self._add(
            sums.with_columns(place=numbers["number"]),
            bins.join(numbers, on=["window", "place"]).with_columns(place="number"),
        )
        return numbers.select("window", place="number")

    def _numbers(self, sums: pl.DataFrame, places: list[Place]) -> pl.Series:
        """The number in its window of each row's place, in the order in which they appear."""
        numbers = []
        for window, place, attempts in sums.select("window", "place", "attempts").iter_rows():
            tally = self._tally(window)
            numbers.append(tally.number(places[place]))
            self.capped += attempts if tally.is_other(numbers[-1]) else 0
        return pl.Series(numbers, dtype=pl.Int64)

    def _add(self, sums: pl.DataFrame, bins: pl.DataFrame) -> None:
        parts = [frame.partition_by("window", as_dict=True, include_key=False) for frame in (sums, bins)]
        for (window,), frame in parts[0].items():
            some = parts[1].get((window,), pl.DataFrame(schema=BINNED))
            self._windows[window].add(frame.select(counted(self.config).names()), some.select(BINNED.names()))

    def _take(self, frames: Frames) -> None:
        for (window,), names in frames["places"].partition_by("window", as_dict=True, include_key=False).items():
            tally = self._tally(window)
            numbers = pl.DataFrame({"number": [tally.number(place) for place in names.rows()]}).with_row_index("place")
            sums, bins = (frames[part].filter(window=window).drop("window") for part in ("totals", "bins"))
            told = (
                frame.join(numbers.cast(pl.Int64), on="place").with_columns(place="number").drop("number")
                for frame in (with_thresholds(sums, bins, self.config), bins)
            )
            tally.add(*told)

    def _tally(self, window: int) -> Tally:
        if window not in self._windows:
            self._windows[window] = Tally(self.config)
        return self._windows[window]

    def _rows(self, windows: list[int], touched: pl.DataFrame | None = None) -> pl.DataFrame:
        """Rows of some windows, of the scopes that share a place with `touched` where that is given."""
        if not windows:
            return empty(SLI)
        return rows(rolled_up({window: self._windows[window] for window in windows}, touched), self.config)


_PLACES = pl.Schema(dict.fromkeys(("store", "namespace", "mount"), pl.String()))
_TIMES = dict.fromkeys(SHARES, pl.Float64())


def _by_window(schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame(schema={"window": pl.Int64(), **schema})
