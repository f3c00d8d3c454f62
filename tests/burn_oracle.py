"""How fast an error budget burns, over a long and a short window at once: the formula over a whole table of SLI rows.

The detector `sli_burn` keeps running sums instead, and is held to this.

Multi-window, multi-burn-rate alerts (The Site Reliability Workbook, chapter 5): a burn is real when the share of the
period's budget would be gone in the long window and the short one, a twelfth of it, shows that it still goes on. The
threshold is share x period / long window. Where little happens one failure is a burn of many, so the failures must
also be too many to be chance: an exact one-sided binomial test against the objective, and a minimum number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import polars as pl
from scipy.special import betainc

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY: Final = 86_400
_FAST_SHARE: Final = 0.95  # of operations faster than M2's objective: what a p95 promises


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`budget` (a share of the period's error budget) gone within `long_seconds` is worth a `severity`."""

    severity: str
    budget: float
    long_seconds: int

    @property
    def short_seconds(self) -> int:
        """The window that shows whether it goes on."""
        return self.long_seconds // 12

    def threshold(self, period_seconds: int) -> float:
        """The burn rate at which it happens: 1 spends the budget exactly in the period."""
        return self.budget * period_seconds / self.long_seconds


RULES: Final = (
    Rule("page", 0.02, 3_600),
    Rule("page", 0.05, 6 * 3_600),
    Rule("ticket", 0.10, DAY),
    Rule("ticket", 0.10, 3 * DAY),
)


def burn(
    slis: pl.DataFrame,
    at_us: int,
    *,
    period_days: int = 30,
    rules: Sequence[Rule] = RULES,
    min_failures: int = 5,
    significance: float = 1e-3,
) -> pl.DataFrame:
    """One row per SLI (M1, M2), store, scope and rule, of `core.schema.SLI` rows that began before `at_us`.

    Columns: sli, store, scope, severity, long_seconds, short_seconds, threshold, burn_long, burn_short (null where
    nothing happened), failures, total (both of the long window), p_value, firing. Rows must be the valid ones: one per
    sli, store, scope and window.
    """
    parts = [_judge(slis, at_us, rule, period_days * DAY) for rule in rules]
    enough = (pl.col("failures") >= min_failures) & (pl.col("p_value") < significance)
    over = (pl.col("burn_long") > pl.col("threshold")) & (pl.col("burn_short") > pl.col("threshold"))
    return pl.concat(parts).with_columns(firing=(enough & over).fill_null(value=False))


def _judge(slis: pl.DataFrame, at_us: int, rule: Rule, period_seconds: int) -> pl.DataFrame:
    age = at_us - pl.col("window_start").dt.timestamp("us")
    failed, total = pl.col("total") - pl.col("good"), pl.col("total")
    short = age <= rule.short_seconds * 1_000_000
    counts = (
        slis.filter(pl.col("sli").is_in(["M1", "M2"]), age > 0, age <= rule.long_seconds * 1_000_000)
        .group_by("sli", "store", "scope")
        .agg(
            failures=failed.sum(),
            total=total.sum(),
            recent=failed.filter(short).sum() / total.filter(short).sum(),
            objective=pl.col("objective").sort_by("window_start").last(),
        )
        .sort("sli", "store", "scope")
    )
    allowed = 1 - pl.when(pl.col("sli") == "M1").then("objective").otherwise(pl.lit(_FAST_SHARE))
    known = counts.with_columns(allowed=allowed)
    return known.select(
        "sli",
        "store",
        "scope",
        severity=pl.lit(rule.severity),
        long_seconds=pl.lit(rule.long_seconds, pl.Int64),
        short_seconds=pl.lit(rule.short_seconds, pl.Int64),
        threshold=pl.lit(rule.threshold(period_seconds)),
        burn_long=pl.col("failures") / pl.col("total") / pl.col("allowed"),
        burn_short=(pl.col("recent") / pl.col("allowed")).fill_nan(None),
        failures=pl.col("failures").cast(pl.Int64),
        total=pl.col("total").cast(pl.Int64),
        p_value=_chance(known),
    )


def _chance(known: pl.DataFrame) -> pl.Series:
    """The chance of that many failures or more when each attempt fails with the share allowed."""
    failures, total, allowed = known.select("failures", "total", "allowed").cast(pl.Float64).to_numpy().T
    tail = betainc(np.maximum(failures, 1), total - np.maximum(failures, 1) + 1, allowed)
    return pl.Series("p_value", np.where(failures > 0, tail, 1.0), pl.Float64)
