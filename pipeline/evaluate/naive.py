"""What one would do without a suite: the methods that every figure of ours is set beside.

Each scores principals by the window and keeps the oddest; the allowance decides as it does for the suite. They are
given what they need to do well: the rules' allow-list is right by construction, the forest sees eight features.

- rules: what public rule packs ask of cloud secret stores: 20 different secrets of one user within a run of the rule
  (Elastic), a user not seen for 5 days (Elastic), a user new to a vault for 7 days (Elastic, Azure), 10 different
  secrets or 50 events in a day (Microsoft Sentinel).
- first_seen: new (principal, secret) and (principal, network) pairs.
- z_score: operations of the window against the principal's own mean and deviation.
- forest: Isolation Forest (Liu, Ting, Zhou, ICDM 2008) over all principals' windows.
- random: any principal, as likely as any other.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.findings import build
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty
from pipeline.simulate.estate import Role

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

    from pipeline.core.model import Window
    from pipeline.simulate import Plot

Floats = npt.NDArray[np.float64]

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
MOST: Final = 6  # principals of a window that are worth remembering
ALLOWED: Final = (Role.CI, Role.CRON, Role.SCANNER, Role.ROTATOR, Role.SYNC, Role.BACKUP)


class Naive(ABC):
    """Scores the principals of a window. `left_out` are never told. Those of one `kind` score alike, once a window."""

    def __init__(self, name: str, left_out: frozenset[str] = frozenset(), kind: str = "") -> None:
        self.name = name
        self._left_out, self._kind = list(left_out), kind or name
        self._info = DetectorInfo(name, "1", name, name, name)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows: the oddest principals of the window with their scores in [0, 1)."""
        named = pl.col("principal").is_not_null() & ~pl.col("principal").is_in(["", "anonymous"])
        rows = window.operations.filter(named)
        if rows.is_empty():
            return empty(FINDING)
        if (kind := f"naive.{self._kind}") not in window.memo:
            window.memo[kind] = self.score(rows, window.start_us)
        scored = window.memo[kind].filter((pl.col("score") > 0) & ~pl.col("principal").is_in(self._left_out))
        told = scored.sort(["score", "principal"], descending=[True, False]).head(MOST)
        theirs = rows.filter(pl.col("principal").is_in(told["principal"].to_list()))
        when = theirs.group_by("principal").agg(pl.col("time").min(), pl.col("uid").sort_by("time").head(5))
        return build(
            self._info,
            told.join(when, on="principal", how="left", maintain_order="left").select(
                "principal", "time", score=pl.col("score") / (1 + pl.col("score")), evidence="uid",
                severity=pl.lit("medium"), confidence=pl.lit(0.5), message=pl.lit(self.name),
                observed=pl.lit(""), expected=pl.lit(""), window=pl.lit(str(window.start_us)),
            ),
            identity=("window", "principal"),
        )  # fmt: skip

    @abstractmethod
    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """Columns principal, score (0: not odd)."""


class Seen:
    """When something was seen last, by a 64-bit hash."""

    def __init__(self) -> None:
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._last: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def ages(self, keys: npt.NDArray[np.uint64], at_us: int) -> Floats:
        """How long ago each was seen (µs), infinite where never; now they all are."""
        at = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        known = self._keys[at] == keys if len(self._keys) else np.zeros(len(keys), bool)
        ages = np.where(known, at_us - self._last[at], np.inf) if len(self._keys) else np.full(len(keys), np.inf)
        self._last[at[known]] = at_us
        fresh = np.unique(keys[~known])
        merged = np.concatenate([self._keys, fresh])
        order = np.argsort(merged, kind="stable")
        self._last = np.concatenate([self._last, np.full(len(fresh), at_us, np.int64)])[order]
        self._keys = merged[order]
        return np.asarray(ages)


def hashed(frame: pl.DataFrame, *columns: str) -> npt.NDArray[np.uint64]:
    """One hash a row."""
    return frame.select(pl.struct(pl.col(name).fill_null("") for name in columns).hash(7)).to_series().to_numpy()


class Rules(Naive):
    """Thresholds and first sights; of two that hit, the wider comes first."""

    def __init__(self, name: str, left_out: frozenset[str] = frozenset()) -> None:
        super().__init__(name, left_out, "rules")
        self._users, self._vaults = Seen(), Seen()
        self._day, self._today = -1, pl.DataFrame()

    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """The number of rules that hit, and the share of secrets as what breaks ties."""
        reads = rows.filter("discloses_value")
        each = rows.group_by("principal").agg(pl.lit(0)).select("principal").sort("principal")
        now = reads.group_by("principal").agg(pl.col("secret").n_unique().alias("wide"))
        vaults = reads.select("principal", "mount").unique().sort("principal", "mount")
        unused = self._vaults.ages(hashed(vaults, "principal", "mount"), at_us) > 7 * DAY_US
        strange = vaults.filter(pl.Series(unused)).group_by("principal").agg(pl.len().alias("vaults"))
        away = self._users.ages(hashed(each, "principal"), at_us) > 5 * DAY_US
        both = each.with_columns(away=pl.Series(away)).join(now, on="principal", how="left")
        both = both.join(strange, on="principal", how="left").join(
            self._of_day(reads, at_us), on="principal", how="left"
        )
        wide = pl.col("wide").fill_null(0)
        hits = (
            (wide >= 20).cast(pl.Float64)
            + pl.col("away").cast(pl.Float64)
            + (pl.col("vaults").fill_null(0) > 0).cast(pl.Float64)
            + ((pl.col("kinds").fill_null(0) >= 10) | (pl.col("events").fill_null(0) >= 50)).cast(pl.Float64)
        )
        return both.select("principal", score=pl.when(hits > 0).then(hits + wide / (wide + 20)).otherwise(0.0))

    def _of_day(self, reads: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """Columns principal, kinds (different secrets today), events."""
        if at_us // DAY_US != self._day:
            self._day, self._today = at_us // DAY_US, pl.DataFrame()
        fresh = reads.group_by("principal", "secret").agg(pl.col("n").sum())
        self._today = pl.concat([self._today, fresh]) if len(self._today) else fresh
        self._today = self._today.group_by("principal", "secret").agg(pl.col("n").sum())
        return self._today.group_by("principal").agg(pl.len().alias("kinds"), pl.col("n").sum().alias("events"))


class FirstSeen(Naive):
    """New pairs; a new network weighs as much as three new secrets."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._secrets, self._zones, self._who = Seen(), Seen(), Seen()

    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """For principals that were seen before this window."""
        each = rows.select("principal").unique().sort("principal")
        known = each.filter(pl.Series(np.isfinite(self._who.ages(hashed(each, "principal"), at_us))))
        counts = []
        for memory, column, weight in ((self._secrets, "secret", 1.0), (self._zones, "zone", 3.0)):
            pairs = rows.filter(pl.col(column) != "").select("principal", column).unique().sort("principal", column)
            new = np.isinf(memory.ages(hashed(pairs, "principal", column), at_us))
            counts.append(pairs.filter(pl.Series(new)).group_by("principal").agg(score=pl.len() * weight))
        return (
            pl.concat(counts).group_by("principal").agg(pl.col("score").sum()).join(known, on="principal", how="semi")
        )


class ZScore(Naive):
    """Own mean and deviation of all windows with anything in them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._sums = pl.DataFrame(schema={"principal": pl.String, "k": pl.Float64, "s": pl.Float64, "q": pl.Float64})

    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:  # noqa: ARG002
        """Deviations above the mean, for those with a day's worth of windows."""
        now = rows.group_by("principal").agg(pl.col("n").sum().cast(pl.Float64))
        both = now.join(self._sums, on="principal", how="left")
        mean = pl.col("s") / pl.col("k")
        spread = (pl.col("q") / pl.col("k") - mean**2).clip(lower_bound=1.0).sqrt()
        z = pl.when(pl.col("k") >= 24).then((pl.col("n") - mean) / spread).otherwise(0.0).fill_null(0.0)
        scored = both.select("principal", score=z.clip(lower_bound=0.0))
        add = now.select("principal", k=pl.lit(1.0), s="n", q=pl.col("n") ** 2)
        self._sums = pl.concat([self._sums, add]).group_by("principal").agg(pl.col("k", "s", "q").sum())
        return scored


class Forest(Naive):
    """Grown anew every week from a sample of the windows before."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name)
        self._seed, self._kept, self._grown_us = seed, [], -(7 * DAY_US)  # type: ignore[var-annotated]
        self._forest: IsolationForest | None = None

    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """The forest's own anomaly score; nothing before it is grown."""
        refused = pl.col("outcome") == "denied"
        each = rows.group_by("principal").agg(
            pl.col("n").sum().log1p().alias("n"), pl.col("secret").n_unique().log1p().alias("secrets"),
            pl.col("n").filter(refused).sum().log1p().alias("refused"), pl.col("zone").n_unique().alias("zones"),
            pl.col("session").n_unique().log1p().alias("sessions"), pl.col("mount").n_unique().alias("mounts"),
        ).sort("principal")  # fmt: skip
        hour = at_us % DAY_US / DAY_US * 2 * np.pi
        values = each.select(pl.exclude("principal")).to_numpy().astype(np.float64)
        values = np.c_[values, np.full((len(each), 1), np.sin(hour)), np.full((len(each), 1), np.cos(hour))]
        odd = np.zeros(len(each)) if self._forest is None else -self._forest.score_samples(values)
        chosen = np.random.default_rng([self._seed, at_us // HOUR_US]).random(len(values)) < 0.05
        self._kept.append(values[chosen])
        if at_us - self._grown_us >= 7 * DAY_US and sum(map(len, self._kept)) >= 256:
            from sklearn.ensemble import IsolationForest  # noqa: PLC0415  every command imports this module, few grow one

            sample = np.concatenate(self._kept[-28 * 24 :])
            self._forest = IsolationForest(n_estimators=100, max_samples=256, random_state=self._seed).fit(sample)
            self._grown_us = at_us
        return each.select("principal", score=pl.Series(odd))


class Random(Naive):
    """A number by lot."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name)
        self._seed = seed

    def score(self, rows: pl.DataFrame, at_us: int) -> pl.DataFrame:
        """The same lot for the same principal and window."""
        each = rows.select("principal").unique().sort("principal")
        lots = [
            int.from_bytes(hashlib.blake2b(f"{self._seed}|{at_us}|{p}".encode(), digest_size=6).digest(), "big")
            for p in each["principal"].to_list()
        ]
        return each.with_columns(score=pl.Series(np.array(lots) / 2.0**48))


def methods(plot: Plot, seed: int) -> list[Naive]:
    """All of them, with nothing remembered."""
    estate = plot.world.estate
    roles = estate.principals["role"]
    allowed = frozenset(estate.names[i] for i in np.flatnonzero(np.isin(roles, ALLOWED)).tolist())
    return [
        Rules("rules"), Rules("rules_allowed", allowed), ZScore("z_score"), FirstSeen("first_seen"),
        Forest("forest", seed % 2**31), Random("random", seed),
    ]  # fmt: skip
