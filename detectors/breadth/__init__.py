"""More different secrets in a window than a principal ever asks for. See README.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _kin, _tails
from detectors._budget import Budget
from detectors._conformal import ASKED, Conformal
from detectors._groups import place
from detectors._memory import Keys
from detectors._people import Each, People
from detectors._text import figure, show
from detectors._usual import Bools, Floats, Habits, common_mode
from detectors._window import Found, seen_in, tell, ways
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="breadth",
    version="1",
    title="Far more different secrets than usual",
    family="breadth",
    summary="distinct secrets per principal and window against its own habit",
    techniques=("T1555.006", "T1213"),
    measures=("F3", "M9"),
    early=("secrets",),
)
_NEXT: Final = (
    "Look at the list of secrets (view operations, by principal). If no migration or inventory explains it:"
    " revoke the principal's tokens, then rotate what it read, most critical first."
)
_RUSH_US: Final = 600_000_000
_PRIOR: Final = (3.0, 1.0)  # secrets and windows held of somebody nobody knows


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the mid-p value below which a breadth is told, `least` the smallest number of secrets worth telling.

    A principal seen in fewer than `windows` windows is judged by its kind. `above_peak`: it must also be this many
    times the most the principal ever had in one window. In the first `settle_hours` every principal is new, and none
    is told for it, but for a person who is given `rush` secrets, and half of an hour's, in ten minutes.
    `per_day` is about how many are told a day. `keys` bounds the memory.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6
    least: int = 12
    windows: int = 24
    above_peak: float = 1.5
    cold_mean: float = 10.0
    settle_hours: int = 48
    rush: Annotated[int, msgspec.Meta(ge=1)] = 20
    per_day: float = 1.0
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Distinct secrets beside what was expected: row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # principal, kind, n
    keys: Keys
    kinds: Keys
    n: Floats
    mean: Floats  # with the cohort's factor in it
    size: Floats
    factor: Floats
    surprise: Floats
    odd: Bools
    trusted: Bools


class Breadth:
    """Remembers per principal how many different secrets a window had, and the most; per kind what that is worth."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._habits = Habits(config.keys)
        self._conformal = Conformal()
        self._budget = Budget(-math.log10(config.p), config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        each = distinct(window)
        if each is None:
            return empty(FINDING)
        judged = self._judge(each, window)
        enough = self._budget.threshold(window.start_us)
        odd = np.flatnonzero(judged.odd & (judged.surprise >= enough)).tolist()
        kinds = np.where(judged.trusted, judged.kinds, 0)
        worth = self._conformal.worth(kinds, judged.surprise, window.start_us)
        found = [self._found(judged, i, float(worth[i]), window) for i in odd]
        if window.closed:
            mean = np.where(judged.trusted, judged.mean, np.nan)
            ones = np.ones(len(each.frame))
            self._budget.note(window.start_us, judged.surprise[judged.odd].tolist())
            self._habits.learn(window.start_us, judged.keys, judged.kinds, count=judged.n, exposure=ones, mean=mean)
            self._conformal.learn(kinds, judged.surprise, window.start_us)
        return tell(self.info, window, found)

    def _judge(self, each: Each, window: Window) -> Judged:
        config, at_us = self._config, window.start_us
        counts, keys, kinds = each.frame, each.keys, each.kinds
        n = counts["n"].to_numpy().astype(np.float64)
        usual = self._habits.usual(keys, kinds, np.ones(len(n)), at_us, _PRIOR)
        trusted = usual.windows >= config.windows
        cold, cold_size = self._habits.of_kind(kinds, at_us, config.cold_mean)
        mean = np.where(trusted, usual.mean, np.maximum(usual.mean, cold))
        size = np.where(trusted, usual.size, cold_size)
        factor = common_mode(each.cohorts, (n + 1) / (mean + 1))
        settled = trusted | (self._habits.age_hours(at_us) >= config.settle_hours)

        def chance(factor: Floats) -> Floats:
            loud = settled & (n >= config.least) & (n > config.above_peak * usual.peak * factor) & (n > mean * factor)
            return _tails.upper_where(loud, n, mean * factor, size)

        p = chance(factor)
        if (odd := p <= ASKED).any():
            jump, names = (n + 1) / (mean + 1), _kin.of_principals(window)
            factor = np.maximum(factor, _kin.shared_jump(names, counts["principal"], jump, trusted, odd))
            p = chance(factor)
        for i in np.flatnonzero(
            ~settled & (n >= max(config.rush, config.least)) & (n > config.above_peak * usual.peak)
        ):
            if _most_at_once(window, counts["principal"][int(i)]) >= max(config.rush, n[i] / 2):
                p[i] = min(p[i], config.p)
        return Judged(counts, keys, kinds, n, mean * factor, size, factor, _tails.surprise(p), p <= config.p, trusted)

    def _found(self, judged: Judged, i: int, worth: float, window: Window) -> Found:
        principal, n, mean = judged.counts["principal"][i], float(judged.n[i]), float(judged.mean[i])
        mine = (pl.col("principal") == principal) & (pl.col("secret") != "")
        rows = window.operations.filter(mine & (pl.col("outcome") != "denied"))
        asked = rows.select("principal").head(1)
        known = int(window.profiles.lookup("principal", asked, window.start_us, ("distinct_secrets",)).item())
        usual = f"all-time {known}" if judged.trusted[i] else "usual for its kind; little is known of it"
        p95 = _tails.quantile(0.95, mean, float(judged.size[i]))
        read = int(rows.filter("discloses_value")["secret"].n_unique())
        folders = ways(rows.with_columns(place("secret", 2).alias("place")), "place")
        return Found(
            key=principal,
            severity=self._severity(bool(judged.trusted[i]), n, read, window),
            confidence=0.8 if judged.trusted[i] else 0.5,
            score=_tails.score(worth),
            message=f"{show(principal)} asked for {figure(n)} different secrets in an hour and got {read} values,"
            f" mostly in {folders}.{_new(rows, window)}",
            observed=f"{figure(n)} distinct secrets",
            expected=f"{figure(mean)} (p95 {p95}, {usual}), cohort factor {judged.factor[i]:.1f}",
            next_step=_NEXT,
            principal=principal,
            **seen_in(rows),
        )

    def _severity(self, trusted: bool, n: float, read: int, window: Window) -> str:
        """Who is new is told as low; but on the first days only who was in a rush is told at all."""
        if trusted:
            return "high" if read >= max(n / 2, 20) else "medium"
        return "low" if self._habits.age_hours(window.start_us) >= self._config.settle_hours else "medium"

    def snapshot(self) -> Frames:
        """Two tables and an age; what surprises are worth; the budget."""
        return {**self._habits.snapshot("breadth"), **self._conformal.snapshot("breadth"), **self._budget.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._habits.restore("breadth", frames)
        self._conformal.restore("breadth", frames)
        self._budget.restore(frames)


def distinct(window: Window) -> Each | None:
    """With n (secrets not refused); None when nobody asked for any."""
    people = People.of(window)
    rows = people.rows.filter((pl.col("secret") != "") & (pl.col("outcome") != "denied"))
    if rows.is_empty():
        return None
    if not rows["namespace"].has_nulls() and (rows["namespace"] == rows["namespace"][0]).all():
        return people.each(rows, n=lambda each: each.distinct("secret"))
    return people.named(rows.group_by("who").agg(pl.col("type").max(), _DISTINCT).sort("who"))


def _most_at_once(window: Window, principal: str) -> int:
    """How many secrets a principal was first given within ten minutes of a window, at the most; of programs, none.

    What keeps a copy of everything begins like that, and goes on so.
    """
    mine = (pl.col("principal") == principal) & ~pl.col("principal_type").is_in(["service", "pod"])
    given = window.operations.filter(mine & pl.col("discloses_value"))
    times = np.sort(given.group_by("namespace", "secret").agg(pl.col("time").min())["time"].to_physical().to_numpy())
    return int((np.searchsorted(times, times + _RUSH_US, side="right") - np.arange(len(times))).max(initial=0))


def _new(rows: pl.DataFrame, window: Window) -> str:
    """What of one principal's rows it never had before, by folder, as a sentence; empty for nothing."""
    pairs = rows.select("principal", "secret").unique()
    before = window.profiles.lookup("edge", pairs, window.start_us, ("known", "succeeded"))
    new = pairs.filter(~(before["known"] & before["succeeded"])).with_columns(place("secret", 2).alias("place"), n=1)
    return f" {len(new)} of them it never had before: {ways(new, 'place')}." if len(new) else ""


_DISTINCT: Final = pl.struct("namespace", "secret").n_unique().alias("n")


def create(config: Config) -> Breadth:
    """The detector, with nothing remembered."""
    return Breadth(config)
