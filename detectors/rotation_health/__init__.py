"""A consumer that missed a rotation, a client that hammers, a rotation that is due and does not come. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._budget import Budget
from detectors._memory import Table, joined, keys_of
from detectors._text import figure, several, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, tell
from detectors.rotation_health.schedule import Schedule, Written
from detectors.rotation_health.trouble import Pairs, Trouble
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="rotation_health",
    version="1",
    title="Consumer missed a rotation",
    family="rotation",
    summary="refusals and re-reads of one's own secret after it was written; rotations overdue; secrets nobody reads",
    techniques=("T1499",),
    measures=("F2", "F5", "M3", "M5"),
    early=("own", "stale"),
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Refusals and re-reads of a secret one is used to are told when their surprises (-log10 of p) reach `surprise`.

    A write within `after_hours` before makes it a missed rotation, and is worth `linked` more. Below `reads` reads in a
    window only refusals count. Where `together` of a cohort are in trouble it is told as the cohort's by `denials`. A
    secret is overdue at `late` times its own period, or past `max_age_days` (0: no such rule). A writer that rotated
    `unread_secrets` secrets `unread_writes` times over `unread_days` without a reader is told once in that time.
    `per_day` is about how many troubles are told a day. `keys` bounds each memory.
    """

    surprise: float = 4.5
    after_hours: float = 12.0
    linked: float = 1.0
    reads: int = 4
    together: int = 4
    late: float = 1.5
    max_age_days: float = 0.0
    unread_secrets: int = 3
    unread_writes: int = 3
    unread_days: float = 14.0
    per_day: float = 1.0
    keys: int = 500_000


class RotationHealth:
    """Remembers when each secret was written, and leaky sums of trouble for pairs that had some."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._schedule = Schedule(config.keys, config.after_hours * HOUR_US)
        self._trouble = Trouble(config.keys)
        self._told = Table(1, config.keys)
        self._budget = Budget(config.surprise, config.per_day)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        at_us = window.start_us
        written = Written.of(window)
        lately = self._schedule.lately(written, at_us)
        pairs = self._trouble.of(window, lately["secret"], self._config.reads)
        found: list[Found] = []
        surprise = np.zeros(0)
        if pairs is not None:
            found, surprise = self._troubled(pairs, lately, window)
        read = window.operations.select("secret", "n", told=_TOLD).filter("told")
        overdue = self._overdue(read, window)
        unread = self._unread(written, window)
        if window.closed:
            self._trouble.learn(pairs, float(read["n"].sum()), surprise >= self._config.surprise, at_us)
            self._schedule.learn(written, lately, at_us)
            self._budget.note(at_us, surprise.tolist())
            self._remember([one.key for one in overdue + unread], at_us)
        return tell(self.info, window, found + overdue + unread)

    def _troubled(self, pairs: Pairs, lately: pl.DataFrame, window: Window) -> tuple[list[Found], Floats]:
        refused, often = self._trouble.surprise(pairs, window.start_us)
        rotated = pairs.frame.join(lately, on="secret", how="left", maintain_order="left").with_columns(_LINKED)
        other = rotated["linked"].to_numpy()
        # Everybody reads a new version once more: many reads alone say something only together with refusals, and one
        # refusal only of a secret that was just written, to a program: a person holds no version.
        sum_ = np.where(pairs.refused >= 1, refused + often, often * 0.5) + self._config.linked * other
        person = pairs.frame["person"].to_numpy()
        least = np.where(person & ~other, _BY_HAND, _REFUSALS)
        sum_ = np.where((other & ~person) | (pairs.refused >= least), sum_, 0.0)
        hit = sum_ >= self._config.surprise / 2
        sum_ = np.where(_shared(pairs.frame["cohort"], hit, self._config.together), 0.0, sum_)
        enough = self._budget.threshold(window.start_us)
        told = [
            self._found(rotated.row(i, named=True), pairs, i, float(sum_[i]), window)
            for i in np.flatnonzero(sum_ >= enough).tolist()
        ]
        return told, sum_

    def _found(self, one: dict[str, Any], pairs: Pairs, i: int, surprise: float, window: Window) -> Found:
        principal, secret = one["principal"], one["secret"]
        rows = window.operations.filter((pl.col("principal") == principal) & (pl.col("secret") == secret))
        linked = one["linked"]
        why = f"; {show(one['writer'])} wrote it at {one['time']:%H:%M}" if linked else ""
        return Found(
            key=f"{principal}|{secret}",
            cause="stale_secret" if linked else "retry_loop",
            title=None if linked else "Client hammers a secret it is refused",
            severity="medium",
            confidence=0.75 if linked else 0.6,
            score=_tails.score(surprise),
            message=f"{show(principal)} read {show(secret)} {one['n']} times in an hour, {one['denied']} of them"
            f" refused{why}.",
            observed=f"{figure(pairs.count[i])} reads, {figure(pairs.refused[i])} refused of late (halved every 3 h)",
            expected=f"{figure(pairs.expected[i])} reads, none refused",
            next_step="Restart or fix the consumer: it holds an old version or an old token. If the service is down,"
            " roll the secret back to its last version first."
            if linked
            else "Look for a loop without back-off and for what was changed: policy, role, token. Refusals that go on"
            " after a fix are somebody else.",
            principal=principal,
            secret=secret,
            **seen_in(rows),
        )

    def _overdue(self, read: pl.DataFrame, window: Window) -> list[Found]:
        """Secrets in use whose rotation is late by their own period or by the rule."""
        if not len(self._schedule):
            return []
        names = read["secret"].unique()
        keys = keys_of(names)
        age, period = self._schedule.ages(keys, window.start_us)
        limit = np.fmin(period * self._config.late, self._max_age_us())
        late = np.flatnonzero(age > limit)
        if not len(late):
            return []
        late = late[~self._lately_told(joined(1, keys[late]), window.start_us)]
        order = names.gather(late).arg_sort().to_list()
        return [
            self._late(names[int(late[i])], float(age[late[i]]), float(period[late[i]]), window) for i in order[:_MOST]
        ]

    def _max_age_us(self) -> float:
        return self._config.max_age_days * DAY_US if self._config.max_age_days > 0 else np.nan

    def _late(self, secret: str, age: float, period: float, window: Window) -> Found:
        rows = window.operations.filter(_TOLD & (pl.col("secret") == secret))
        usual = (
            f"every {figure(period / DAY_US)} days"
            if np.isfinite(period)
            else f"within {self._config.max_age_days} days"
        )
        return Found(
            key=f"overdue|{secret}",
            cause="rotation_overdue",
            title="Rotation overdue",
            severity="low",
            confidence=0.7,
            score=0.3,
            message=f"{show(secret)} was last written {figure(age / DAY_US)} days ago and is still read; it is written"
            f" {usual}.",
            observed=f"{figure(age / DAY_US)} days since the last write",
            expected=usual,
            next_step="See whether the rotation job runs and what it logs; the server's own log tells of automatic"
            " rotations that failed.",
            secret=secret,
            **seen_in(rows),
        )

    def _unread(self, written: Written, window: Window) -> list[Found]:
        """Per writer the secrets it goes on rotating and nobody reads."""
        if not len(written.keys):
            return []
        count, age = self._schedule.writes(written.keys, window.start_us)
        old = (count >= self._config.unread_writes) & (age >= self._config.unread_days * DAY_US)
        if not old.any():
            return []
        rows = written.frame.filter(pl.Series(old))
        asked = ("known", "distinct_principals")
        known = window.profiles.lookup("secret", rows.select("secret"), window.start_us, asked)
        rows = rows.filter((known["known"] & (known["distinct_principals"] <= 1)).to_numpy())
        each = (
            rows.group_by("writer").agg("secret", pl.col("time").min(), "uid", pl.col("store").first()).sort("writer")
        )
        keys = joined(2, keys_of(each["writer"]))
        many = (each["secret"].list.len() >= self._config.unread_secrets).to_numpy()
        fresh = each.filter(pl.Series(many & ~self._lately_told(keys, window.start_us)))
        return [self._idle(one) for one in fresh.iter_rows(named=True)]

    def _idle(self, one: dict[str, Any]) -> Found:
        secrets = sorted(one["secret"])
        return Found(
            key=f"unread|{one['writer']}",
            cause="written_never_read",
            title="Secrets written and never read",
            severity="informational",
            confidence=0.6,
            score=0.1,
            message=f"{show(one['writer'])} goes on writing {len(secrets)} secrets that nobody else was ever seen to"
            f" use: {several(secrets)}.",
            observed=f"{len(secrets)} secrets, written {self._config.unread_writes} times and more",
            expected="a reader within weeks",
            next_step="Remove them and their rotation, or find out why their consumers do not ask this store.",
            principal=one["writer"] or None,
            secret=secrets[0],
            store=one["store"],
            evidence=sorted(one["uid"])[:5],
            time=one["time"],
        )

    def _lately_told(self, keys: Any, at_us: int) -> Bools:
        told: Bools = self._told.seen(keys) > at_us - self._config.unread_days * DAY_US
        return told

    def _remember(self, told: list[str], at_us: int) -> None:
        for tag, prefix in ((1, "overdue|"), (2, "unread|")):
            names = pl.Series([key.removeprefix(prefix) for key in told if key.startswith(prefix)], dtype=pl.String)
            if len(names):
                self._told.put(np.unique(joined(tag, keys_of(names))), np.ones((names.n_unique(), 1)), at_us)

    def snapshot(self) -> Frames:
        """Writes, sums, what was told; the budget."""
        told = {"told": self._told.snapshot()}
        return {**self._schedule.snapshot(), **self._trouble.snapshot(), **told, **self._budget.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._schedule.restore(frames)
        self._trouble.restore(frames)
        self._told.restore(frames["told"])
        self._budget.restore(frames)


_TOLD: Final = pl.col("discloses_value") & (pl.col("secret") != "") & (pl.col("operation") == "read")
_LINKED: Final = (  # somebody else wrote the secret, and the trouble went on after it
    ((pl.col("writer") != pl.col("principal")) & (pl.col("until") > pl.col("time"))).fill_null(value=False)
).alias("linked")
_REFUSALS: Final = 1.9  # decayed, so two in a row
_BY_HAND: Final = 4.9  # a person who is refused tries again, and once more the other way
_MOST: Final = 20  # overdue secrets told in one window


def _shared(cohorts: pl.Series, hit: Bools, together: int) -> Bools:
    """Members of a cohort of which at least `together` principals are in trouble."""
    if np.count_nonzero(hit) < together:
        return np.zeros(len(hit), np.bool_)
    names = cohorts.to_frame("cohort").with_columns(hit=pl.Series(hit))
    many = names.select((pl.col("hit").sum().over("cohort") >= together) & (pl.col("cohort") != "")).to_series()
    shared: Bools = many.to_numpy()
    return shared


def create(config: Config) -> RotationHealth:
    """The detector, with nothing remembered."""
    return RotationHealth(config)
