"""A naive method: a score for the day of each principal, told when it rises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.findings import build
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty
from pipeline.evaluate.naive.days import NAMELESS, Days, Today

if TYPE_CHECKING:
    from pipeline.core.model import Window

MOST: Final = 6  # principals of a window that are worth remembering
RISE: Final = 1.05  # a principal is told again on the same day when its score is that much higher


class Naive(ABC):
    """Scores days so far, window by window. `left_out` are never told. Those of one `kind` score alike, once a window.

    `days` is shared by all methods of a run.
    """

    def __init__(self, name: str, days: Days, left_out: frozenset[str] = frozenset(), kind: str = "") -> None:
        self.name = name
        self._days, self._left_out, self._kind = days, list(left_out), kind or name
        self._info = DetectorInfo(name, "1", name, f"naive_{name}", name)  # no family that the router exempts
        self._day, self._told = -1, pl.DataFrame(schema={"principal": pl.String, "told": pl.Float64})

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows: the oddest principals of the window with their scores in [0, 1)."""
        today = self._days.take(window)
        if today.each.is_empty():
            return empty(FINDING)
        if (kind := f"naive.{self._kind}") not in window.memo:
            window.memo[kind] = self.score(today)
        if not today.settled:
            return empty(FINDING)
        told = self._risen(window.memo[kind], today)
        when = _evidence(today.rows.filter(pl.col("principal").is_in(told["principal"].to_list())))
        return build(
            self._info,
            told.join(when, on="principal", how="left", maintain_order="left").select(
                "principal", "time", score=pl.col("score") / (1 + pl.col("score")), evidence="uid",
                severity=pl.lit("medium"), confidence=pl.lit(0.5), message=pl.lit(self.name),
                observed=pl.lit(""), expected=pl.lit(""), window=pl.lit(str(window.start_us)),
            ),
            identity=("window", "principal"),
        )  # fmt: skip

    def _risen(self, scored: pl.DataFrame, today: Today) -> pl.DataFrame:
        """The highest of those that are higher than they were told today."""
        if today.day != self._day:
            self._day, self._told = today.day, self._told.clear()
        open_ = scored.filter((pl.col("score") > 0) & ~pl.col("principal").is_in(self._left_out))
        known = open_.join(self._told, on="principal", how="left")
        risen = known.filter(pl.col("score") > RISE * pl.col("told").fill_null(0.0))
        told = risen.sort(["score", "principal"], descending=[True, False]).head(MOST).select("principal", "score")
        kept = self._told.join(told, on="principal", how="anti")
        self._told = pl.concat([kept, told.select("principal", told="score")])
        return told

    @abstractmethod
    def score(self, today: Today) -> pl.DataFrame:
        """Columns principal, score (0: not odd) of the principals of the window."""


def _evidence(rows: pl.DataFrame) -> pl.DataFrame:
    """Columns principal, time, uid (of five operations): where many share a name, those of who was refused most."""
    refused = (pl.col("outcome") == "denied").fill_null(value=False)
    theirs = pl.col("n").filter(refused).sum().over("principal", "client_ip")
    worst = pl.when((pl.col("principal") == NAMELESS) & refused).then(theirs).otherwise(0)
    ordered = rows.with_columns(worst=worst).sort("worst", "time", descending=[True, False], maintain_order=True)
    return ordered.group_by("principal", maintain_order=True).agg(pl.col("time").min(), pl.col("uid").head(5))
