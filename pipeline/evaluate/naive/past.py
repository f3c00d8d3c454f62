"""How far a day is above a principal's own days, in deviations of logarithms."""

from __future__ import annotations

from typing import Final

import polars as pl

KINDS: Final = ("secret", "zone", "act", "hour")  # of what can be new to a principal
COUNTS: Final = ("reads", "writes", "denied", "lists", "logins")
FEATURES: Final = (*COUNTS, *(f"{kind}s" for kind in KINDS), *(f"new_{kind}s" for kind in KINDS))
STANDARD: Final = tuple(f"z_{name}" for name in FEATURES)
DAY: Final = {"principal": pl.String, "kind": pl.String, **dict.fromkeys(FEATURES, pl.Float64), "day": pl.Int64}

_LEAST_DAYS: Final = 3  # of the same sort (working days, weekends) before they are looked at alone
_PRIOR_DAYS: Final = 4.0  # what the deviation of the kind weighs against one's own
_LEAST_DEVIATION: Final = 0.2  # of a logarithm


class Past:
    """Means and deviations over `done` (columns DAY), as they are known on the day `day`.

    Working days are held against working days and weekends against weekends. Who has no days of his own is held
    against his kind.
    """

    def __init__(self, done: pl.DataFrame, day: int) -> None:
        logs = done.with_columns(pl.col(FEATURES).log1p())
        weekend = (pl.col("day") + 3) % 7 >= 5
        alike = logs.filter(weekend == ((day + 3) % 7 >= 5))
        every, some = _own(logs), _own(alike).filter(pl.col("days") >= _LEAST_DAYS)
        self._own = pl.concat([some, every.join(some, on="principal", how="anti")])
        self._kinds = self._own.group_by("kind").agg(
            *(pl.col(f"m_{name}").mean().alias(f"km_{name}") for name in FEATURES),
            *(pl.col(f"v_{name}").mean().alias(f"kv_{name}") for name in FEATURES),
            *(pl.col(f"m_{name}").var().fill_null(0.0).alias(f"kb_{name}") for name in FEATURES),
        )

    def standard(self, days: pl.DataFrame) -> pl.DataFrame:
        """`days` with STANDARD: deviations above what was usual, negative below. Nothing is usual without a past."""
        both = days.join(self._own.drop("kind"), on="principal", how="left", maintain_order="left")
        both = both.join(self._kinds, on="kind", how="left", maintain_order="left")
        return both.select(*days.columns, *map(_deviations, FEATURES))


def _own(logs: pl.DataFrame) -> pl.DataFrame:
    return logs.group_by("principal").agg(
        pl.col("kind").first(), pl.len().cast(pl.Float64).alias("days"),
        *(pl.col(name).mean().alias(f"m_{name}") for name in FEATURES),
        *(pl.col(name).var(ddof=0).alias(f"v_{name}") for name in FEATURES),
    ).sort("principal")  # fmt: skip


def _deviations(name: str) -> pl.Expr:
    days = pl.col("days").fill_null(0.0)
    mean = pl.col(f"m_{name}").fill_null(pl.col(f"km_{name}"))
    shared = pl.col(f"kv_{name}") + pl.when(days > 0).then(0.0).otherwise(pl.col(f"kb_{name}"))
    variance = (days * pl.col(f"v_{name}").fill_null(0.0) + _PRIOR_DAYS * shared) / (days + _PRIOR_DAYS)
    spread = (variance * (1 + 1 / (days + 1))).sqrt().clip(lower_bound=_LEAST_DEVIATION)
    return ((pl.col(name).log1p() - mean) / spread).fill_null(0.0).alias(f"z_{name}")
