"""More operations in a window than a principal, a secret or a mount ever has. See README.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _kin, _leaky, _tails
from detectors._acts import Acts, Enough
from detectors._budget import Budget
from detectors._conformal import ASKED, Conformal
from detectors._memory import lot
from detectors._text import figure, hour_of, show
from detectors._usual import Bools, Floats, Habits
from detectors._window import Found, hours, seen_in, tell, ways
from detectors.rate import batches, issues, removals, roles, versions
from detectors.rate.hoard import Hoard
from detectors.rate.mounts import CHANGED, Mounts
from detectors.rate.scopes import SCOPES, Keyed, counted, shared
from detectors.rate.trawl import Trawl
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="rate",
    version="1",
    title="Far more operations than usual",
    family="rate",
    summary="operations of a principal or secret against their hour of the week; changes, issues, batches, versions",
    techniques=("T1555.006", "T1499", "T1485"),
    measures=("F5", "F3", "M9"),
    early=("operations",),
)
_PROFILE: Final = ("known", "days_active", "expected_per_hour", "alpha")
_OWN_SHARE: Final = 0.8  # a secret's jump that one principal makes is that principal's matter
_SEEN: Final = 12.0  # windows, before which what a key does says nothing of its kind
_EVERY: Final = 8  # windows, of which one is judged whoever is loud: scatter is that of all hours
_HEAVIER: Final = 2.5  # times the scatter seen: tails are heavier than a law's of that scatter (seeds 404 and 405)
_NEXT: Final = (
    "Ask the owner whether a deployment or a batch job explains it. If not: look at what was read"
    " (view operations), and either fix a loop without cache or revoke the credentials."
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the mid-p value below which a count is told, `least` the smallest count worth telling.

    A key active on fewer than `days` days is judged by its kind. `above_peak`: the count must also be this many times
    the most that the key ever had in one window. In the first `settle_hours` every key is new, and none is told
    for it. `removed` secrets or more that one principal removed in a window are told below `removed_p`, `issued`
    credentials or more that one token took, or of `roles` roles beyond the first, below `issued_p`, `hoarded` of late
    beyond one of a role for each token below `hoarded_p`, `batched` values or more in batches below `batched_p`,
    `versions` reads by version or more below `versions_p`, a person's `trawled` secrets of late or more below
    `trawled_p`. `per_day` is about how many are told a day.
    `keys` bounds the memory, per scope.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-7
    least: int = 40
    removed: int = 8
    removed_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    issued: int = 20
    issued_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-4
    roles: int = 3
    hoarded: float = 8.0
    hoarded_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6
    batched: int = 100
    batched_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    versions: int = 10
    versions_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    trawled: float = 3.0
    trawled_p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-3
    days: int = 3
    above_peak: float = 1.5
    cold_mean: float = 20.0
    settle_hours: int = 48
    per_day: float = 1.0
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Counts of one scope beside what was expected: row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # key, n
    mean: Floats
    size: Floats
    factor: Floats
    surprise: Floats
    odd: Bools
    trusted: Bools


class Rate:
    """Remembers per key the most it had at once, and per kind how much counts scatter and what a surprise is worth."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._habits = {scope: Habits(config.keys) for scope in SCOPES}
        self._conformal = {scope: Conformal() for scope in SCOPES}
        self._budget = Budget(-math.log10(config.p), config.per_day)
        alike, keys = (config.above_peak, config.settle_hours, config.per_day), config.keys
        self._mounts = Mounts(Enough(config.least, config.p, *alike))
        self._acts = (
            Acts("removals", Enough(config.removed, config.removed_p, *alike), keys, removals.counted, removals.told),
            Acts(
                "issues",
                Enough(config.issued, config.issued_p, *alike),
                keys,
                issues.counted,
                issues.told,
                prior=issues.PRIOR,
            ),
            Acts(
                "roles",
                Enough(config.roles, config.issued_p, *alike),
                keys,
                roles.counted,
                roles.told,
                prior=roles.PRIOR,
            ),
            Acts("batches", Enough(config.batched, config.batched_p, *alike), keys, batches.counted, batches.told),
            Acts("versions", Enough(config.versions, config.versions_p, *alike), keys, versions.counted, versions.told),
        )

        self._hoard = Hoard(_leaky.Enough(config.hoarded, config.hoarded_p, *alike), keys)
        self._trawl = Trawl(_leaky.Enough(config.trawled, config.trawled_p, *alike), keys)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        if window.operations.is_empty():
            return empty(FINDING)
        found: list[Found] = []
        surprises: list[float] = []
        enough = self._budget.threshold(window.start_us)
        measures = window.closed and lot(window.start_us, _EVERY) == 0
        for scope in SCOPES:
            keyed = counted(scope, window)
            if keyed.counts.is_empty():
                continue
            mean, surprise = np.full(len(keyed.counts), np.nan), np.zeros(len(keyed.counts))
            kinds = np.where(self._habits[scope].windows(keyed.keys, window.start_us) >= _SEEN, keyed.kinds, 0)
            if measures or self._loud(scope, keyed, window.start_us).any():
                judged = self._judge(scope, keyed, window)
                surprise = judged.surprise
                surprises += surprise[judged.odd].tolist()
                worth = self._conformal[scope].worth(kinds, surprise, window.start_us)
                told = np.flatnonzero(judged.odd & (surprise >= enough)).tolist()
                found += [self._found(scope, judged, i, float(worth[i]), window) for i in told]
                if measures:
                    mean = np.where(judged.trusted, judged.mean * judged.factor, np.nan)
            if window.closed:
                n, ones = keyed.n, np.ones(len(kinds))
                habits = self._habits[scope]
                habits.learn(window.start_us, keyed.keys, keyed.kinds, count=n, exposure=ones, mean=mean)
                self._conformal[scope].learn(kinds, surprise, window.start_us)
        if window.closed:
            self._budget.note(window.start_us, surprises)
        changes = window.operations.filter(CHANGED)
        if len(changes):
            found += self._mounts.inspect(changes, window)
        found += [one for acts in self._acts for one in acts.inspect(window)]
        found += self._hoard.inspect(window)
        found += self._trawl.inspect(window)
        return tell(self.info, window, found)

    def _loud(self, scope: str, keyed: Keyed, at_us: int) -> Bools:
        """Counts that are large at all, and above what the key ever had: only these are worth asking profiles for."""
        peak = self._habits[scope].peak(keyed.keys, at_us)
        return (keyed.n >= self._config.least) & (keyed.n > self._config.above_peak * peak)

    def _judge(self, scope: str, keyed: Keyed, window: Window) -> Judged:
        config, habits = self._config, self._habits[scope]
        counts, kinds, n = keyed.counts, keyed.kinds, keyed.n
        names = pl.DataFrame({scope: window.profiles.numbers(scope, window)[keyed.at]})
        profile = window.profiles.lookup(scope, names, window.start_us, _PROFILE)
        trusted = (profile["known"] & (profile["days_active"] >= config.days)).to_numpy()
        own = profile["expected_per_hour"].to_numpy() * hours(window)
        cold, cold_size = habits.of_kind(kinds, window.start_us, config.cold_mean)
        mean = np.where(trusted, own, np.maximum(own, cold))
        size = habits.size(kinds, profile["alpha"].to_numpy(), window.start_us, _HEAVIER)
        size = np.where(trusted, size, cold_size)
        factor = shared(keyed, n, mean, trusted)
        peak = habits.peak(keyed.keys, window.start_us)
        settled = trusted | (habits.age_hours(window.start_us) >= config.settle_hours)

        def chance(factor: Floats) -> Floats:
            loud = settled & (n >= config.least) & (n > config.above_peak * peak * factor) & (n > mean * factor)
            return _tails.upper_where(loud, n, mean * factor, size)

        p = chance(factor)
        if (odd := p <= ASKED).any():
            if scope == "principal":
                kin, jump = _kin.of_principals(window), (n + 1) / (mean + 1)
                factor = np.maximum(factor, _kin.shared_jump(kin, counts["key"], jump, trusted, odd))
                p = chance(factor)
            else:
                factor = np.maximum(factor, _kin.of_users(window, counts["key"], odd))
                p = chance(factor)
                asked = np.flatnonzero(p <= ASKED)
                p[asked[_driven(window.operations, counts["key"][asked])]] = 1.0
        return Judged(counts, mean, size, factor, _tails.surprise(p), p <= config.p, trusted)

    def _found(self, scope: str, judged: Judged, i: int, worth: float, window: Window) -> Found:
        key, n = judged.counts["key"][i], float(judged.counts["n"][i])
        mean, factor = float(judged.mean[i] * judged.factor[i]), float(judged.factor[i])
        rows = window.operations.filter(pl.col(scope) == key)
        usual = "its own" if judged.trusted[i] else "usual for its kind; nothing older is known of it"
        p95 = _tails.quantile(0.95, mean, float(judged.size[i]))
        most = ways(rows, "secret" if scope == "principal" else "principal")
        done = f"{'made' if scope == 'principal' else 'had'} {figure(n)} operations in an hour"
        return Found(
            key=f"{scope}:{key}",
            severity=_severity(n, mean, cold=not judged.trusted[i]),
            confidence=0.8 if judged.trusted[i] else 0.5,
            score=_tails.score(worth),
            message=f"{show(key)} {done}, {figure(n / max(mean, 0.1))} times the usual{': ' + most if most else ''}.",
            observed=f"{figure(n)} operations",
            expected=f"{figure(mean)} (p95 {p95}, {usual}) for {hour_of(window.start_us)}, cohort factor {factor:.1f}",
            next_step=_NEXT,
            principal=key if scope == "principal" else None,
            secret=key if scope == "secret" else None,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Per scope two tables and an age, and what surprises are worth; the budget; mounts; acts."""
        parts = [part[scope].snapshot(scope) for part in (self._habits, self._conformal) for scope in SCOPES]
        parts += [part.snapshot() for part in (self._budget, self._mounts, *self._acts, self._hoard, self._trawl)]
        return {name: frame for frames in parts for name, frame in frames.items()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        for scope in SCOPES:
            self._habits[scope].restore(scope, frames)
            self._conformal[scope].restore(scope, frames)
        self._budget.restore(frames)
        self._mounts.restore(frames)
        for acts in self._acts:
            acts.restore(frames)
        self._hoard.restore(frames)
        self._trawl.restore(frames)


def _driven(operations: pl.DataFrame, secrets: pl.Series) -> Bools:
    """Whether one principal makes nearly all of the operations of each secret."""
    rows = operations.filter(pl.col("secret").is_in(secrets.implode()))
    each = rows.group_by("secret", "principal").agg(pl.col("n").sum()).group_by("secret")
    shares = each.agg(share=pl.col("n").max() / pl.col("n").sum())
    found: Bools = (
        secrets.to_frame("secret").join(shares, on="secret", how="left", maintain_order="left")["share"] >= _OWN_SHARE
    ).to_numpy()
    return found


def _severity(n: float, mean: float, *, cold: bool) -> str:
    if cold or n < 5 * mean:
        return "low"
    return "high" if n >= 20 * mean and n >= 500 else "medium"


def create(config: Config) -> Rate:
    """The detector, with nothing remembered."""
    return Rate(config)
