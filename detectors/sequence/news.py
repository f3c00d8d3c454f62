"""Secrets that a principal read for the first time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._news import seen
from pipeline.core.clock import HOUR_US
from pipeline.core.owned import owned
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors._memory import Keys
    from detectors._usual import Bools
    from pipeline.core.model import Frames, Window

NEWS: Final = pl.Schema(
    {
        "principal": pl.String(),
        "secret": pl.String(),
        "time": TIME,
        "client_ip": pl.String(),
        "zone": pl.String(),
        "uid": pl.String(),
        "store": pl.String(),
        "settled": pl.Boolean(),  # the principal was known for a while before
    }
)


_NOTHING: Final = pl.DataFrame(schema=NEWS)
_SPAN_US: Final = 2 * HOUR_US  # no chain reaches further back


@dataclass(slots=True)
class News:
    """First reads of the last hours, at most `limit`, newest kept."""

    limit: int
    frame: pl.DataFrame = field(default_factory=lambda: _NOTHING)

    def with_those_of(self, window: Window, whose: pl.Series, settled: Callable[[Keys], Bools]) -> pl.DataFrame:
        """NEWS rows, those of this window by principals `whose` with them; column `now` says which they are."""
        live = self.frame
        if len(live):
            live = live.filter(pl.col("time") > pl.lit(window.start_us - _SPAN_US).cast(TIME))
        live = live.with_columns(now=pl.lit(value=False))
        if whose.is_empty():
            return live
        both = seen(window, window.start_us, lambda keys, _: np.zeros(len(keys), dtype=np.bool_))
        if both is None or both[1].frame.is_empty():
            return live
        actors, news = both
        some = pl.col("principal").is_in(whose.implode())
        pairs = news.frame.with_columns(settled=pl.Series(settled(actors.principal)[news.who]))
        pairs = pairs.filter(some & ~pl.Series(news.own))
        if pairs.is_empty():
            return live
        read = pl.col("discloses_value") & (pl.col("secret") != "")
        rows = window.operations.filter(read & some).join(pairs, on=["principal", "secret"]).sort("time", "uid")
        fresh = rows.unique(["principal", "secret"], keep="first", maintain_order=True).select(NEWS.names())
        told = pl.concat([live, fresh.with_columns(now=pl.lit(value=True))])
        return told.unique(["principal", "secret"], keep="first", maintain_order=True)

    def learn(self, news: pl.DataFrame) -> None:
        """Add a closed window."""
        self.frame = owned(news.drop("now").sort("time", "uid").tail(self.limit)) if len(news) else _NOTHING

    def snapshot(self) -> Frames:
        """Frame news."""
        return {"news": self.frame}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self.frame = frames["news"]
