"""Many tokens made by one principal within an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import keys_of, keys_of_few
from detectors._text import figure, show
from detectors._usual import Floats, Habits
from detectors._window import HOUR_US, Found
from detectors.token_lifecycle import issued
from detectors.token_lifecycle.issued import ROWS

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_PRIOR: Final = (1.0, 2.0)  # tokens and hours held of a maker nobody knows
_ABOVE: Final = 1.5  # times the most it ever made in an hour
_LONGEST: Final = 50_000  # makings of the last hour remembered


class Farm:
    """Remembers per maker how many tokens an hour with any has, and the makings of the last hour."""

    def __init__(self, least: int, p: float, limit: int) -> None:
        self._least, self._p = least, p
        self._habits = Habits(limit)
        self._hour = 0
        self._last = pl.DataFrame(schema=ROWS)

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge ROWS of one hour by what was known before it and by the last sixty minutes."""
        if hour > self._hour:
            self._learn()
            self._hour = hour
        made = rows.filter((pl.col("kind") == "create") & (pl.col("outcome") == "success"))
        if made.is_empty():
            return []
        self._last = pl.concat([self._last, made]).tail(_LONGEST)
        who = self._last.filter(pl.col("principal").is_in(made["principal"].unique().to_list()))
        hours = who.sort("complete_time", "uid").rolling("complete_time", period="1h", group_by="principal")
        counted = hours.agg(
            pl.len().alias("n"), pl.col("orphan").sum().alias("orphans"), pl.col("uid"), _weight().alias("weight"),
            pl.col("principal_type").last().alias("type"), pl.col("uid").last().alias("last"),
        ).with_columns(level=(pl.col("n") / self._least).log(2).floor())  # fmt: skip
        fresh = counted.filter(pl.col("last").is_in(made["uid"].to_list()) & (pl.col("n") >= self._least))
        if fresh.is_empty():
            return []
        p, mean = self._odds(fresh)
        odd = fresh.with_columns(p=pl.Series(p), mean=pl.Series(mean)).filter(pl.col("p") <= self._p)
        # Told again, under the same alert, whenever the number has doubled.
        first = odd.sort("complete_time", "last").unique(["principal", "level"], keep="first", maintain_order=True)
        return [self._found(one, made) for one in first.iter_rows(named=True)]

    def _odds(self, counted: pl.DataFrame) -> tuple[Floats, Floats]:
        keys, kinds = keys_of(counted["principal"]), keys_of_few(counted["type"])
        n = counted["weight"].to_numpy().astype(np.float64)
        usual = self._habits.usual(keys, kinds, np.ones(len(n)), self._hour * HOUR_US, _PRIOR)
        p = _tails.upper_where(n > _ABOVE * usual.peak, n, usual.mean, usual.size)
        return p, usual.mean

    def _learn(self) -> None:
        """Add the hour that is over; keep what the next may still look back on."""
        start = pl.lit(self._hour * HOUR_US).cast(pl.Datetime("us", "UTC"))
        over = self._last.filter(pl.col("complete_time") >= start)
        if len(over):
            each = over.group_by("principal").agg(_weight().alias("n"), pl.col("principal_type").last().alias("type"))
            each = each.sort("principal")
            keys, kinds = keys_of(each["principal"]), keys_of_few(each["type"])
            n, ones = each["n"].to_numpy().astype(np.float64), np.ones(len(each))
            at_us = self._hour * HOUR_US
            usual = self._habits.usual(keys, kinds, ones, at_us, _PRIOR)
            self._habits.learn(at_us, keys, kinds, count=n, exposure=ones, mean=usual.mean)
        self._last = over

    def _found(self, one: dict[str, Any], made: pl.DataFrame) -> Found:
        who, n = one["principal"], one["n"]
        row = made.filter(pl.col("uid") == one["last"]).row(0, named=True)
        kinds = f", {one['orphans']} of them orphans, which outlive it" if one["orphans"] else ""
        return Found(
            key=f"{who}:{self._hour}:{one['level']:.0f}",
            cause="token_farm",
            title="Tokens made in numbers",
            severity="high" if one["orphans"] >= n / 2 else "medium",
            confidence=0.75,
            score=_tails.score(float(-np.log10(one["p"]))),
            message=f"{show(who)} made {n} tokens within an hour{kinds}.",
            observed=f"{n} tokens in an hour",
            expected=f"{figure(one['mean'])} in an hour in which it makes any",
            next_step="Ask the owner what needs them. If nothing: revoke the parent (its children go with it) and each"
            " orphan by its accessor, and take create rights on auth/token out of the policy.",
            principal=who,
            **issued.told(row, one["uid"][:20]),
        )

    def snapshot(self) -> Frames:
        """Frames of habits, farm.last and farm.hour."""
        return {
            **self._habits.snapshot("farm"),
            "farm.last": self._last,
            "farm.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._habits.restore("farm", frames)
        self._last = frames["farm.last"]
        self._hour = frames["farm.hour"]["hour"][0]


def _weight() -> pl.Expr:
    """Orphans count twice: nobody is answerable for them when their maker has gone."""
    return pl.len() + pl.col("orphan").sum()
