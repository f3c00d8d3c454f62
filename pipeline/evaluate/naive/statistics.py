"""Deviations from a principal's own days: the highest of a few, or a forest over all of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.evaluate.naive.days import Days, Floats, Today
from pipeline.evaluate.naive.method import Naive
from pipeline.evaluate.naive.past import FEATURES, STANDARD

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

VOLUMES: Final = ("z_reads", "z_denied", "z_secrets")
CALIBRATED_DAYS: Final = 7
HIGH: Final = 0.99  # of a kind's days: what is that high scores one
GROWN_DAYS: Final = 7  # the forest is grown anew so often
ASKED: Final = 2.0  # deviations that make it worth asking
LEAST: Final = 256  # days of principals to grow it from
MOST_DEVIATIONS: Final = 8.0


class ZScore(Naive):
    """The highest deviation of reads, denials and different secrets, by how high it gets in principals of that kind."""

    def __init__(self, name: str, days: Days) -> None:
        super().__init__(name, days)
        self._scale, self._turned = pl.DataFrame(schema={"kind": pl.String, "high": pl.Float64}), -1

    def score(self, today: Today) -> pl.DataFrame:
        """Above nothing unusual."""
        if self._turned != self._days.turned:
            recent = self._days.done.filter(pl.col("day") >= today.day - CALIBRATED_DAYS)
            high = pl.max_horizontal(VOLUMES).quantile(HIGH).clip(lower_bound=1.0)
            self._scale, self._turned = recent.group_by("kind").agg(high=high), self._days.turned
        scaled = today.each.join(self._scale, on="kind", how="left", maintain_order="left")
        score = (pl.max_horizontal(VOLUMES) / pl.col("high").fill_null(1.0)).clip(lower_bound=0.0)
        return scaled.select("principal", score=score)


class Forest(Naive):
    """Isolation Forest (Liu, Ting, Zhou, ICDM 2008) over days of principals, against their own days before.

    Only what is above the usual counts: a quiet day is no incident.
    """

    def __init__(self, name: str, days: Days, seed: int, left_out: frozenset[str] = frozenset()) -> None:
        super().__init__(name, days, left_out, "forest")
        self._seed, self._grown = seed, -GROWN_DAYS
        self._forest: IsolationForest | None = None

    def score(self, today: Today) -> pl.DataFrame:
        """The forest's own score of days that have anything unusual; nothing before it is grown."""
        if today.settled and self._days.turned - self._grown >= GROWN_DAYS and len(self._days.done) >= LEAST:
            from sklearn.ensemble import IsolationForest  # noqa: PLC0415  every command imports this module

            self._forest = IsolationForest(n_estimators=100, max_samples=LEAST, random_state=self._seed)
            self._forest.fit(_values(self._days.done))
            self._grown = self._days.turned
        some = today.each.filter(pl.max_horizontal(STANDARD) >= ASKED)
        if self._forest is None or some.is_empty():
            return today.each.head(0).select("principal", score=pl.lit(0.0))
        return some.select("principal", score=pl.Series(-self._forest.score_samples(_values(some))))


class Random(Naive):
    """A number by lot."""

    def __init__(self, name: str, days: Days, seed: int) -> None:
        super().__init__(name, days)
        self._seed = seed

    def score(self, today: Today) -> pl.DataFrame:
        """The same lot for the same principal and window."""
        lots = [
            int.from_bytes(hashlib.blake2b(f"{self._seed}|{today.at_us}|{p}".encode(), digest_size=6).digest(), "big")
            for p in today.each["principal"].to_list()
        ]
        return today.each.select("principal", score=pl.Series(np.array(lots) / 2.0**48))


def _values(days: pl.DataFrame) -> Floats:
    above = days.select(pl.col(STANDARD).clip(0.0, MOST_DEVIATIONS), pl.col(FEATURES).log1p())
    return above.to_numpy().astype(np.float64)
