"""Changes on a mount: far more writes or deletes than it ever had, though no single principal makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._conformal import Conformal
from detectors._memory import Keys, joined, keys_of_few
from detectors._text import figure, show
from detectors._usual import Bools, Floats, Habits, common_mode
from detectors._window import Found, seen_in, ways

if TYPE_CHECKING:
    from detectors._acts import Enough
    from pipeline.core.model import Frames, Window

CHANGED: Final = pl.col("operation").is_in(("write", "delete", "rotate")) & (pl.col("mount") != "")
_BY: Final = ("namespace", "mount", "operation")
_PRIOR: Final = (1.0, 2.0)  # changes and windows held of a mount nobody knows
_SEEN: Final = 12.0  # windows with any, before which a mount has no habit
_HEAVIER: Final = 2.5  # times the scatter seen, as for principals and secrets
_OWN_SHARE: Final = 0.8  # what one principal makes is that principal's matter
_KEYS: Final = 20_000
_NEXT: Final = (
    "See who did it (view operations, by mount) and ask for the migration or clean-up behind it. If there is none: take"
    " the rights to change this mount out of the policies, and bring back deleted versions while they are kept."
)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # namespace, mount, operation, n, most
    keys: Keys
    kinds: Keys
    n: Floats
    mean: Floats  # with what others of its kind share in it
    size: Floats
    surprise: Floats
    trusted: Bools


class Mounts:
    """Remembers per mount and operation how many a window with any has, and the most: 56 bytes each."""

    def __init__(self, enough: Enough) -> None:
        self._enough = enough
        self._habits = Habits(_KEYS)
        self._conformal = Conformal()
        self._budget = Budget(-float(np.log10(enough.p)), enough.per_day)

    def inspect(self, rows: pl.DataFrame, window: Window) -> list[Found]:
        """Judge the WINDOW rows that are CHANGED, at least one."""
        judged = self._judge(rows, window.start_us)
        kinds = np.where(judged.trusted, judged.kinds, 0)
        worth = self._conformal.worth(kinds, judged.surprise, window.start_us)
        loud = judged.surprise >= self._budget.threshold(window.start_us)
        found = [_told(judged, i, float(worth[i]), rows) for i in np.flatnonzero(loud).tolist()]
        if window.closed:
            mean = np.where(judged.trusted, judged.mean, np.nan)
            ones = np.ones(len(judged.n))
            self._habits.learn(window.start_us, judged.keys, judged.kinds, count=judged.n, exposure=ones, mean=mean)
            self._conformal.learn(kinds, judged.surprise, window.start_us)
            self._budget.note(window.start_us, judged.surprise.tolist())
        return found

    def _judge(self, rows: pl.DataFrame, at_us: int) -> _Judged:
        enough, habits = self._enough, self._habits
        each = rows.group_by(*_BY, "principal").agg(pl.col("n").sum())
        counts = each.group_by(_BY).agg(pl.col("n").sum(), pl.col("n").max().alias("most")).sort(_BY)
        kinds = keys_of_few(counts["operation"])
        keys = joined(0, keys_of_few(counts["namespace"]), keys_of_few(counts["mount"]), kinds)
        n = counts["n"].to_numpy().astype(np.float64)
        usual = habits.usual(keys, kinds, np.ones(len(n)), at_us, _PRIOR)
        trusted = usual.windows >= _SEEN
        factor = np.ones(len(n))
        factor[trusted] = common_mode(kinds[trusted], ((n + 1) / (usual.mean + 1))[trusted])
        mean = usual.mean * factor
        size = habits.size(kinds, usual.mean * (usual.windows + _PRIOR[1]), at_us, _HEAVIER)
        alone = counts["most"].to_numpy() >= _OWN_SHARE * n
        settled = trusted & (habits.age_hours(at_us) >= enough.settle_hours)
        loud = settled & ~alone & (n >= enough.least) & (n > enough.above_peak * usual.peak * factor) & (n > mean)
        surprise = _tails.surprise(_tails.upper_where(loud, n, mean, size))
        return _Judged(counts, keys, kinds, n, mean, size, surprise, trusted)

    def snapshot(self) -> Frames:
        """Two tables and an age; what surprises are worth; the budget; all under `mounts`."""
        return {
            **self._habits.snapshot("mounts"),
            **self._conformal.snapshot("mounts"),
            **self._budget.snapshot("mounts."),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no mount known."""
        if "mounts.keys" not in frames:
            return
        self._habits.restore("mounts", frames)
        self._conformal.restore("mounts", frames)
        self._budget.restore(frames, "mounts.")


def _told(judged: _Judged, i: int, worth: float, rows: pl.DataFrame) -> Found:
    one, n, mean = judged.counts.row(i, named=True), float(judged.n[i]), float(judged.mean[i])
    mine = rows.filter(pl.all_horizontal(pl.col(name).eq_missing(pl.lit(one[name], pl.String)) for name in _BY))
    where = f" of namespace {show(one['namespace'])}" if one["namespace"] else ""
    people, p95 = mine["principal"].n_unique(), _tails.quantile(0.95, mean, float(judged.size[i]))
    what = {"write": "writes", "delete": "deletions", "rotate": "rotations"}[one["operation"]]
    return Found(
        key=f"mount:{one['namespace']}:{one['mount']}:{one['operation']}",
        cause="rate_mount",
        title="Far more changes of a mount than usual",
        severity="medium" if n >= 5 * mean else "low",
        confidence=0.7,
        score=_tails.score(worth),
        message=f"{show(one['mount'])}{where} had {figure(n)} {what} in an hour, {figure(n / max(mean, 0.1))} times the"
        f" usual, by {people} principals of whom none makes most: {ways(mine, 'principal')}.",
        observed=f"{figure(n)} {what} by {people} principals",
        expected=f"{figure(mean)} (p95 {p95}) in an hour with any",
        next_step=_NEXT,
        techniques=("T1485",),
        **seen_in(mine),
    )
