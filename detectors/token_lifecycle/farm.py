"""Many tokens made, or ended, by one principal within an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import keys_of, keys_of_few
from detectors._operation import said_of
from detectors._text import figure, show
from detectors._usual import Floats, Habits
from detectors._window import Found
from detectors.token_lifecycle.issued import ROWS
from pipeline.core.clock import HOUR_US
from pipeline.core.owned import added
from pipeline.core.schema import conform

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_ABOVE: Final = 1.5  # times the most it ever made in an hour
_LONGEST: Final = 50_000  # makings of the last hour remembered


@dataclass(frozen=True, slots=True)
class Deed:
    """What is counted, and in what words it is told. `message` may use {who}, {n} and {orphans}."""

    kind: str  # as in ROWS
    cause: str
    title: str
    message: str
    next_step: str
    techniques: tuple[str, ...]
    prior: tuple[float, float]  # of them, and hours, held of somebody who never did so


MAKES: Final = Deed(
    "create",
    "token_farm",
    "Tokens made in numbers",
    "{who} made {n} tokens within an hour{orphans}.",
    "Ask the owner what needs them. If nothing: revoke the parent (its children go with it) and each orphan by its"
    " accessor, and take create rights on auth/token out of the policy.",
    ("T1098.001", "T1136"),
    (1.0, 2.0),
)
ENDS: Final = Deed(
    "revoke",
    "mass_revoke",
    "Tokens or leases revoked in numbers",
    "{who} revoked tokens or leases of others {n} times within an hour.",
    "Ask whoever did it which incident it answers. If none: revoke their token, take revoke rights out of the policy,"
    " and expect a wave of log-ins: every workload whose token is gone has to come back.",
    ("T1531",),
    (0.5, 2.0),
)


class Farm:
    """Remembers per principal how many of a deed an hour with any has, and those of the last two hours."""

    def __init__(self, deed: Deed, least: int, p: float, limit: int) -> None:
        self._deed, self._least, self._p = deed, least, p
        self._habits = Habits(limit)
        self._hour = 0
        self._last = pl.DataFrame(schema=ROWS)

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge ROWS of one hour by what was known before it and by the last sixty minutes."""
        if hour > self._hour:
            self._learn(hour)
            self._hour = hour
        made = rows.filter((pl.col("kind") == self._deed.kind) & (pl.col("outcome") == "success"))
        if made.is_empty():
            return []
        self._last = added(self._last, made).tail(_LONGEST)
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
        usual = self._habits.usual(keys, kinds, np.ones(len(n)), self._hour * HOUR_US, self._deed.prior)
        p = _tails.upper_where(n > _ABOVE * usual.peak, n, usual.mean, usual.size)
        return p, usual.mean

    def _learn(self, hour: int) -> None:
        """Add the hours that nobody looks back on any more from `hour`: what goes on is no habit yet."""
        over = self._last.filter(pl.col("hour") < hour - 1)
        for (number,), rows in over.partition_by("hour", as_dict=True, maintain_order=True).items():
            each = rows.group_by("principal").agg(_weight().alias("n"), pl.col("principal_type").last().alias("type"))
            each = each.sort("principal")
            keys, kinds = keys_of(each["principal"]), keys_of_few(each["type"])
            n, ones = each["n"].to_numpy().astype(np.float64), np.ones(len(each))
            at_us = int(number) * HOUR_US
            usual = self._habits.usual(keys, kinds, ones, at_us, self._deed.prior)
            self._habits.learn(at_us, keys, kinds, count=n, exposure=ones, mean=usual.mean)
        self._last = self._last.filter(pl.col("hour") >= hour - 1)

    def _found(self, one: dict[str, Any], made: pl.DataFrame) -> Found:
        who, n = one["principal"], one["n"]
        row = made.filter(pl.col("uid") == one["last"]).row(0, named=True)
        orphans = f", {one['orphans']} of them orphans, which outlive it" if one["orphans"] else ""
        deed = self._deed
        return Found(
            key=f"{who}:{self._hour}:{one['level']:.0f}",
            cause=deed.cause,
            title=deed.title,
            severity="high" if one["orphans"] >= n / 2 else "medium",
            confidence=0.75,
            score=_tails.score(float(-np.log10(one["p"]))),
            message=deed.message.format(who=show(who), n=n, orphans=orphans),
            observed=f"{n} in an hour",
            expected=f"{figure(one['mean'])} in an hour in which it does so at all",
            next_step=deed.next_step,
            techniques=deed.techniques,
            principal=who,
            **said_of(row, one["uid"][:20]),
        )

    def snapshot(self) -> Frames:
        """Habits, the last hour and its number, under the cause's name."""
        return {
            **self._habits.snapshot(self._deed.cause),
            f"{self._deed.cause}.last": self._last,
            f"{self._deed.cause}.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._habits.restore(self._deed.cause, frames)
        self._last = conform(frames[f"{self._deed.cause}.last"], ROWS)
        self._hour = frames[f"{self._deed.cause}.hour"]["hour"][0]


def _weight() -> pl.Expr:
    """Orphans count twice: nobody is answerable for them when their maker has gone."""
    return pl.len() + pl.col("orphan").sum()
