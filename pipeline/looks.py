"""When a window that is still open is worth a look: somebody did far more in it than he ever did in a whole one.

What is counted per principal is cheap: operations, different secrets, refusals. A detector that looks early judges the
same window again when it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames

_FACTOR: Final = 1.5  # times the most that a principal had in one window
_LEAST: Final = {"n": 40, "secrets": 10, "refused": 8}
_FADE: Final = 0.999  # of a peak, by the window: a month halves it
_KEPT: Final = 100_000  # principals; past it those not seen for longest go
_PAIR: Final = ("principal", "secret")
SEEN: Final = (*_PAIR, "outcome")
_PAIRS: Final = pl.Schema(
    {"principal": pl.String(), "secret": pl.String(), "n": pl.Int64(), "refused": pl.Int64()}
)  # fmt: skip
_PEAKS: Final = pl.Schema({"principal": pl.String(), **dict.fromkeys(_LEAST, pl.Float64()), "seen": pl.Int64()})
_LEVELS: Final = pl.Schema({"principal": pl.String(), "level": pl.Int64()})


class Looks:
    """Peaks of closed windows, counts of the open one, and how far above its peak each principal was looked at."""

    def __init__(self) -> None:
        self._peaks = pl.DataFrame(schema=_PEAKS)
        self._pairs = pl.DataFrame(schema=_PAIRS)
        self._levels = pl.DataFrame(schema=_LEVELS)
        self._closed = 0

    def count(self, operations: Sequence[pl.DataFrame]) -> None:
        """Add what came: rows of the columns SEEN."""
        if not operations:
            return
        refused = (pl.col("outcome") == "denied").cast(pl.Int64).fill_null(0)
        fresh = pl.concat(operations).select(
            pl.col("principal").fill_null(""), pl.col("secret").fill_null(""), n=pl.lit(1, pl.Int64), refused=refused
        )
        self._pairs = pl.concat([self._pairs, fresh]).group_by(_PAIR).agg(pl.col("n", "refused").sum())

    def due(self) -> bool:
        """Whether anybody has passed a doubling of what is high for him since this was asked last."""
        high = self._high()
        risen = high.join(self._levels, on="principal", how="left", suffix="_told").filter(
            pl.col("level") > pl.col("level_told").fill_null(-1)
        )
        if risen.is_empty():
            return False
        self._levels = high
        return True

    def close(self) -> None:
        """The window is over: what it had counts for the next ones."""
        self._closed += 1
        now = self._totals().with_columns(pl.col(*_LEAST).cast(pl.Float64), seen=pl.lit(self._closed, pl.Int64))
        before = self._peaks.with_columns(pl.col(*_LEAST) * _FADE)
        peaks = pl.concat([before, now.select(_PEAKS.names())]).group_by("principal").agg(pl.all().max())
        self._peaks = peaks.sort("seen", "principal", descending=[True, False]).head(_KEPT)
        self._pairs, self._levels = self._pairs.clear(), self._levels.clear()

    def _totals(self) -> pl.DataFrame:
        return self._pairs.group_by("principal").agg(
            pl.col("n").sum(), (pl.col("secret") != "").sum().cast(pl.Int64).alias("secrets"), pl.col("refused").sum()
        )

    def _high(self) -> pl.DataFrame:
        """Of those far above their peak, how many doublings: frame of _LEVELS."""
        enough = pl.any_horizontal(pl.col(name) >= least for name, least in _LEAST.items())
        many = self._totals().filter(enough).join(self._peaks, on="principal", how="left", suffix="_peak")
        times = pl.max_horizontal(
            pl.col(name) / pl.max_horizontal(_FACTOR * pl.col(f"{name}_peak").fill_null(0.0), pl.lit(float(least)))
            for name, least in _LEAST.items()
        )
        level = times.log(2).floor().cast(pl.Int64).alias("level")
        return many.filter(times >= 1).select("principal", level)

    def snapshot(self) -> Frames:
        """Frames peaks, pairs, levels and closed."""
        return {
            "peaks": self._peaks.sort("principal"),
            "pairs": self._pairs.sort(_PAIR),
            "levels": self._levels.sort("principal"),
            "closed": pl.DataFrame({"closed": [self._closed]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one made before there were looks, with nothing known."""
        if "peaks" in frames:
            self._peaks, self._pairs, self._levels = (frames[name] for name in ("peaks", "pairs", "levels"))
            self._closed = frames["closed"]["closed"][0]
