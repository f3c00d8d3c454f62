"""Secrets removed by one principal: far more of them than it ever removed, few as they are beside all it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._people import People
from detectors._text import figure, show
from detectors._usual import Habits, common_mode
from detectors._window import Found, seen_in, ways
from detectors.rate.mounts import Limits

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_PRIOR: Final = (1.0, 2.0)  # secrets and windows held of somebody who never removed any
_REMOVED: Final = (pl.col("operation") == "delete") & (pl.col("outcome") == "success") & (pl.col("secret") != "")
_MANY: Final = 30
_NEXT: Final = (
    "Ask whoever did it for the clean-up behind it. If there is none: revoke the tokens, bring back deleted versions"
    " while they are kept (undelete), and the rest from a snapshot."
)


class Removals:
    """Remembers per principal how many secrets a window with any removal has: 56 bytes each."""

    def __init__(self, limits: Limits, least: int, p: float, per_day: float, keys: int) -> None:
        self._limits, self._least = limits, least
        self._habits = Habits(keys)
        self._budget = Budget(-float(np.log10(p)), per_day)

    def inspect(self, changes: pl.DataFrame, window: Window) -> list[Found]:
        """Judge a window by its rows; of them `changes` are those that changed anything."""
        if not (changes["operation"] == "delete").any():
            return []
        people = People.of(window)
        rows = people.rows.filter(_REMOVED)
        if rows.is_empty():
            return []
        removed = pl.struct("namespace", "secret").n_unique().alias("n")
        each = people.named(rows.group_by("who", maintain_order=True).agg(pl.col("type").max(), removed))
        n, at_us = each.frame["n"].to_numpy().astype(np.float64), window.start_us
        usual = self._habits.usual(each.keys, each.kinds, ones := np.ones(len(n)), at_us, _PRIOR)
        settled = self._habits.age_hours(at_us) >= self._limits.settle_hours
        factor = common_mode(each.cohorts, (n + 1) / (usual.mean + 1))  # many at it together: see `mounts`
        loud = (n >= self._least) & (n > self._limits.above_peak * usual.peak * factor) & settled
        surprise = _tails.surprise(_tails.upper_where(loud, n, (usual.mean + 1) * factor - 1, usual.size))
        odd = np.flatnonzero(surprise >= self._budget.threshold(at_us)).tolist()
        found = [
            _told({**each.frame.row(i, named=True), "mean": float(usual.mean[i])}, float(surprise[i]), window)
            for i in odd
        ]
        if window.closed:
            self._habits.learn(at_us, each.keys, each.kinds, count=n, exposure=ones, mean=usual.mean)
            self._budget.note(at_us, surprise[loud].tolist())
        return found

    def snapshot(self) -> Frames:
        """Two tables and an age; the budget; all under `removals`."""
        return {**self._habits.snapshot("removals"), **self._budget.snapshot("removals.")}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no removal known."""
        if "removals.keys" not in frames:
            return
        self._habits.restore("removals", frames)
        self._budget.restore(frames, "removals.")


def _told(one: dict[str, Any], surprise: float, window: Window) -> Found:
    n, who = one["n"], one["principal"]
    mine = window.operations.filter((pl.col("principal") == who) & _REMOVED)
    return Found(
        key=f"removed:{who}",
        cause="rate_removed",
        title="Many secrets removed",
        severity="high" if n >= _MANY else "medium",
        confidence=0.75,
        score=_tails.score(surprise),
        message=f"{show(who)} deleted or destroyed {n} secrets in an hour: {ways(mine, 'secret')}.",
        observed=f"{n} secrets",
        expected=f"{figure(one['mean'])} in an hour in which it removes any",
        next_step=_NEXT,
        techniques=("T1485",),
        principal=who,
        **seen_in(mine),
    )
