"""Names guessed at a few an hour: each hour is quiet, what came of late is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._leaky import Enough, Leaky
from detectors._people import People
from detectors._text import figure, show
from detectors._window import Found, seen_in, ways

if TYPE_CHECKING:
    from detectors.enumeration import Config
    from pipeline.core.model import Frames, Window

_MOST: Final = 4.0  # names that count of one hour: a loud one is not slow, nor does it make the next ones so
_VAIN: Final = (
    pl.col("outcome").is_in(("not_found", "denied")) & (pl.col("secret") != "") & (pl.col("operation") != "list")
)
_NEXT: Final = (
    "See the names in order (view operations, by principal and outcome). A client with a wrong name asks for the same"
    " few again and again. One that tries ever new ones: revoke its tokens, and see what it found."
)


class Slow:
    """Per principal the names it asked for in vain and never before."""

    def __init__(self, config: Config) -> None:
        enough = Enough(config.slow_least, config.p, config.above_peak, config.settle_hours, config.per_day)
        self._names = Leaky("slow", enough, config.keys)

    def inspect(self, asked: pl.DataFrame, window: Window) -> list[Found]:
        """Judge a window by those of its people's rows that asked for a name and got no value."""
        self._names.begin(window)
        rows = asked.filter(_VAIN)
        if rows.is_empty():
            return []
        pairs = rows.select("principal", "secret").unique().sort("principal", "secret")
        before = window.profiles.lookup("edge", pairs, window.start_us, ("known",))["known"]
        new = rows.join(pairs.filter(~before), on=["principal", "secret"], how="semi").sort("who", maintain_order=True)
        if new.is_empty():
            return []
        each = People.of(window).each(new, n=lambda rows: rows.distinct("secret"))
        late = self._names.judge(each.keys, np.minimum(each.frame["n"].to_numpy(), _MOST), window)
        return [
            _told(
                each.frame.row(i, named=True),
                (float(late.sum[i]), float(late.mean[i]), float(late.surprise[i])),
                new,
                window,
            )
            for i in np.flatnonzero(late.odd).tolist()
        ]

    def snapshot(self) -> Frames:
        """See Leaky; all under `slow`."""
        return self._names.snapshot()

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._names.restore(frames)


def _told(one: dict[str, Any], judged: tuple[float, float, float], new: pl.DataFrame, window: Window) -> Found:
    (late, mean, surprise), who = judged, one["principal"]
    mine = new.filter(pl.col("principal") == who).select("principal", "secret").unique()
    rows = window.operations.filter(_VAIN).join(mine, on=["principal", "secret"], how="semi")
    return Found(
        key=f"slow:{who}",
        cause="slow_walk",
        title="Guesses at names, a few at a time",
        severity="medium",
        confidence=0.7,
        score=_tails.score(surprise),
        message=f"{show(who)} goes on asking for secrets that are not there or not for it, ever new ones: {one['n']} in"
        f" this hour ({ways(rows, 'secret')}), about {figure(late)} of late.",
        observed=f"{figure(late)} names it never asked for before, four of an hour at most, those of twelve hours ago"
        " counted half",
        expected=f"{figure(mean)} by its own past",
        next_step=_NEXT,
        principal=who,
        **seen_in(rows),
    )
