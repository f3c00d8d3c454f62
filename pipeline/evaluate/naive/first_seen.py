"""What is new, by how rarely anything new comes to that principal and to that place."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.evaluate.naive.days import Days, Today
from pipeline.evaluate.naive.method import Naive

SPAN_DAYS: Final = 14  # of what was new before: each day fades by one in as many


class FirstSeen(Naive):
    """New pairs of a principal with a secret, a network, an act (what it does where) and an hour of the day.

    A pair is worth the logarithm of how rarely the principal had a new one of that sort and how rarely the folder, the
    network or the act came to anybody new: in the past days, and to others today. Further pairs add by the logarithm.
    """

    def __init__(self, name: str, days: Days, left_out: frozenset[str] = frozenset()) -> None:
        super().__init__(name, days, left_out, "first_seen")
        self._today, self._now = pl.DataFrame(schema=_PAIRS), -1
        self._whose = pl.DataFrame(schema={"principal": pl.String, "what": pl.String, "often": pl.Float64})
        self._where = pl.DataFrame(schema={"folder": pl.String, "what": pl.String, "often": pl.Float64})
        self._known = pl.DataFrame(schema={"principal": pl.String, "days": pl.Float64})

    def score(self, today: Today) -> pl.DataFrame:
        """The sum over the sorts of pairs."""
        if today.day != self._now:
            self._turn(today.day)
        each = today.each.select("principal")
        unknown = each.join(self._known, on="principal", how="anti").select("principal", days=pl.lit(0.0))
        self._known = pl.concat([self._known, unknown])
        self._today = pl.concat([self._today, today.fresh]) if len(today.fresh) else self._today
        mine = self._today.join(each, on="principal", how="semi")
        others = self._today.group_by("what", "folder").agg(pl.col("principal").n_unique().alias("others"))
        rated = (
            mine.group_by("principal", "what", "folder").agg(pl.len().alias("pairs"))
            .join(others, on=["what", "folder"], how="left").join(self._where, on=["what", "folder"], how="left")
            .with_columns(rare=_rare(pl.col("often").fill_null(0.0) + pl.col("others") - 1, pl.lit(float(SPAN_DAYS))))
            .group_by("principal", "what").agg(pl.col("rare").max(), pl.col("pairs").sum())
            .join(self._whose, on=["principal", "what"], how="left").join(self._known, on="principal")
        )  # fmt: skip
        own = _rare(pl.col("often").fill_null(0.0), pl.col("days"))
        worth = own * (1 + pl.col("rare")) * (1 + pl.col("pairs").log())
        return rated.with_columns(worth=worth).group_by("principal").agg(score=pl.col("worth").sum())

    def _turn(self, day: int) -> None:
        """What was new yesterday is no news of today: whose it was, and where."""
        fade = 1 - 1 / SPAN_DAYS
        faded = [frame.with_columns(pl.col("often") * fade) for frame in (self._whose, self._where)]
        whose = self._today.select("principal", "what").unique().with_columns(often=pl.lit(1.0))
        where = self._today.group_by("folder", "what").agg(often=pl.col("principal").n_unique().cast(pl.Float64))
        self._whose, self._where = (
            pl.concat([before, more.select(before.columns)]).group_by(before.columns[:2]).agg(pl.col("often").sum())
            for before, more in zip(faded, (whose, where), strict=True)
        )
        self._known = self._known.with_columns((pl.col("days") + 1.0).clip(upper_bound=float(SPAN_DAYS)))
        self._today, self._now = self._today.clear(), day


def _rare(often: pl.Expr, days: pl.Expr) -> pl.Expr:
    """The logarithm of days that pass from one to the next."""
    return ((days + 1) / (often + 0.5)).log().clip(lower_bound=0.0)


_PAIRS: Final = {"principal": pl.String, "what": pl.String, "key": pl.String, "folder": pl.String}
