"""Names guessed at a few an hour: each hour is quiet, what came of late is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._memory import Table
from detectors._people import People
from detectors._since import Since
from detectors._text import figure, show
from detectors._usual import Floats
from detectors._window import Found, seen_in, ways
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from detectors.enumeration import Config
    from pipeline.core.model import Frames, Window

_LATE_US: Final = 12.0 * HOUR_US  # half-life of what counts as of late
_LONG_US: Final = 30.0 * DAY_US  # and of habits
_MOST: Final = 4.0  # names that count of one hour: a loud one is not slow, nor does it make the next ones so
_PRIOR: Final = 0.5  # names of late, held of somebody who never guessed
_BURSTY: Final = 3.0
_VAIN: Final = (
    pl.col("outcome").is_in(("not_found", "denied")) & (pl.col("secret") != "") & (pl.col("operation") != "list")
)
_NEXT: Final = (
    "See the names in order (view operations, by principal and outcome). A client with a wrong name asks for the same"
    " few again and again. One that tries ever new ones: revoke its tokens, and see what it found."
)


class Slow:
    """Per principal the names it asked for in vain and never before: of late, in all, and how many were told of.

    56 bytes each.
    """

    def __init__(self, config: Config) -> None:
        self._least, self._above, self._settle_us = config.slow_least, config.above_peak, config.settle_hours * HOUR_US
        self._late = Table(1, config.keys, _LATE_US)
        self._long = Table(2, config.keys, _LONG_US)  # names, those told of
        self._since = Since()
        self._budget = Budget(-float(np.log10(config.p)), config.per_day)

    def inspect(self, asked: pl.DataFrame, window: Window) -> list[Found]:
        """Judge a window by those of its people's rows that asked for a name and got no value."""
        at_us, people = window.start_us, People.of(window)
        if window.closed:
            self._since.begin(at_us)
        rows = asked.filter(_VAIN)
        if rows.is_empty():
            return []
        pairs = rows.select("principal", "secret").unique().sort("principal", "secret")
        before = window.profiles.lookup("edge", pairs, at_us, ("known",))["known"]
        new = rows.join(pairs.filter(~before), on=["principal", "secret"], how="semi").sort("who", maintain_order=True)
        if new.is_empty():
            return []
        each = people.each(new, n=lambda rows: rows.distinct("secret"))
        n = np.minimum(each.frame["n"].to_numpy(), _MOST)
        late = self._late.get(each.keys, at_us)[:, 0] + n
        names, told = self._long.get(each.keys, at_us).T
        mean, size = self._usual(np.maximum(names - late + n, 0.0), at_us)
        settled = self._since.age_us(at_us) >= self._settle_us
        loud = (late >= self._least) & (late > self._above * told) & settled
        surprise = _tails.surprise(_tails.upper_where(loud, late, mean, size))
        odd = surprise >= self._budget.threshold(at_us)
        found = [
            _told(each.frame.row(i, named=True), (float(late[i]), float(mean[i]), float(surprise[i])), new, window)
            for i in np.flatnonzero(odd).tolist()
        ]
        if window.closed:
            self._late.put(each.keys, late[:, None], at_us)
            self._long.put(each.keys, np.stack([names + n, np.where(odd, late, told)], axis=1), at_us)
            self._budget.note(at_us, surprise[loud].tolist())
        return found

    def _usual(self, names: Floats, at_us: int) -> tuple[Floats, Floats]:
        """How many of late are usual for who had so many before, and the size of the law."""
        age = max(self._since.age_us(at_us), DAY_US)
        share = _LATE_US / (_LONG_US * (1 - np.exp2(-age / _LONG_US)))
        return names * share + _PRIOR, np.clip(names, _PRIOR, _BURSTY)

    def snapshot(self) -> Frames:
        """Two tables, since when, and the budget; all under `slow`."""
        return {
            "slow.late": self._late.snapshot(),
            "slow.long": self._long.snapshot(),
            "slow.age": self._since.snapshot(),
            **self._budget.snapshot("slow."),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "slow.late" not in frames:
            return
        self._late.restore(frames["slow.late"])
        self._long.restore(frames["slow.long"])
        self._since.restore(frames["slow.age"])
        self._budget.restore(frames, "slow.")


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
