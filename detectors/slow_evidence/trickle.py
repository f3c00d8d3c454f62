"""Leaky sums of weak evidence per principal, and the accesses they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._memory import Keys, Table
from detectors._usual import Floats
from pipeline.core.clock import DAY_US
from pipeline.core.owned import added
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from detectors._news import Actors, News
    from detectors._usual import Bools
    from pipeline.core.model import Frames, Window

_WHOLE: Final = 2.0  # -log10 of the likelihood that makes a whole hit
_LINE: Final = pl.Schema(
    {
        "principal": pl.String(),
        "secret": pl.String(),
        "time": TIME,
        "uid": pl.String(),
        "store": pl.String(),
        "client_ip": pl.String(),
    }
)
_LIVES: Final = 4  # half-lives an access stays in the timeline


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a window adds: row i of every array is one principal, in the order of names."""

    principals: list[str]
    who: npt.NDArray[np.int64]  # its row of Actors
    keys: Keys
    weight: Floats  # at most one
    line: pl.DataFrame  # the accesses themselves, by time

    @classmethod
    def none(cls) -> Evidence:
        """Nothing strange."""
        nobody = np.zeros(0, dtype=np.int64)
        return cls([], nobody, np.zeros(0, dtype=np.uint64), np.zeros(0), pl.DataFrame(schema=_LINE))

    @classmethod
    def of(cls, actors: Actors, news: News, likely: Floats, strange: Bools, window: Window) -> Evidence:
        """From the pairs that are `strange`."""
        if not strange.any():
            return cls.none()
        pairs = news.frame.with_columns(
            weight=pl.Series(np.minimum(-np.log10(likely) / _WHOLE, 1.0)), who=pl.Series(news.who)
        ).filter(pl.Series(strange))
        each = pairs.group_by("principal").agg(pl.col("who").first(), pl.col("weight").max()).sort("principal")
        who = each["who"].to_numpy()
        rows = window.operations.filter((pl.col("outcome") == "success") & (pl.col("secret") != ""))
        line = rows.join(pairs.select("principal", "secret"), on=["principal", "secret"], how="semi")
        line = line.sort("time", "uid").unique(["principal", "secret"], keep="first", maintain_order=True)
        return cls(
            each["principal"].to_list(),
            who,
            actors.principal[who],
            each["weight"].to_numpy(),
            line.select(_LINE.names()),
        )


class Trickle:
    """Per principal a decayed number of hits and of active windows: 32 bytes; and the last accesses in words."""

    def __init__(self, half_life_us: float, limit: int, lines: int) -> None:
        self._sums = Table(2, limit, half_life_us)  # hits, active windows
        self._told = Table(1, limit)
        self._span_us = int(half_life_us * _LIVES)
        self._lines = lines
        self._line = pl.DataFrame(schema=_LINE)

    def sums(self, hits: Evidence, at_us: int) -> tuple[Floats, Floats]:
        """Per principal of `hits` the decayed hits and active windows, this window with them."""
        past = self._sums.get(hits.keys, at_us)
        return past[:, 0] + hits.weight, past[:, 1] + 1

    def told(self, hits: Evidence, at_us: int) -> tuple[Floats, Bools]:
        """The decayed hits of each principal of `hits` when it was told of last, within the timeline's span, else 0;
        and whether that was within a day."""
        seen = self._told.seen(hits.keys)
        return np.where(
            seen > at_us - self._span_us, self._told.get(hits.keys, at_us)[:, 0], 0.0
        ), seen > at_us - DAY_US

    def tell(self, keys: Keys, count: Floats, at_us: int) -> None:
        """Remember that these principals were told of, with so many decayed hits."""
        self._told.put(keys, count[:, None], at_us)

    def learn(self, active: Keys, hits: Evidence, at_us: int) -> None:
        """Add a closed window."""
        self._sums.add(active, np.tile([0.0, 1.0], (len(active), 1)), at_us)
        if len(hits.who):
            self._sums.add(hits.keys, np.stack([hits.weight, np.zeros(len(hits.keys))], axis=1), at_us)
            oldest = pl.lit(at_us - self._span_us).cast(TIME)
            self._line = added(self._line.filter(pl.col("time") > oldest), hits.line).tail(self._lines)

    def timeline(self, principal: str, hits: Evidence) -> pl.DataFrame:
        """The accesses of a principal that are remembered, and those of this window, by time."""
        both = [frame.filter(pl.col("principal") == principal) for frame in (self._line, hits.line)]
        return pl.concat(both).sort("time", "uid")

    def snapshot(self) -> Frames:
        """Frames sums, told and timeline."""
        return {"sums": self._sums.snapshot(), "told": self._told.snapshot(), "timeline": self._line}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._sums.restore(frames["sums"])
        self._told.restore(frames["told"])
        self._line = frames["timeline"]
