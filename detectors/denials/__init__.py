"""More refusals than usual: of a principal, of an address, of a whole cohort, of nobody known. See README.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._conformal import Conformal
from detectors._groups import cohorts
from detectors._memory import Keys, joined, keys_of
from detectors._people import People
from detectors._text import figure, show
from detectors._usual import Bools, Floats, Habits
from detectors._window import Found, first_of, seen_in, tell, ways
from detectors.denials.logins import Tried, login
from detectors.denials.unknown import Unknown
from pipeline.core.model import DetectorInfo

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="denials",
    version="1",
    title="Far more refusals than usual",
    family="denial",
    summary="denied operations per principal, address and cohort against their own share; floods without a valid token",
    techniques=("T1110", "T1580", "T1087.004", "T1499"),
    measures=("F1", "F2", "F5", "M4"),
    early=("refused", "logins"),
)
WHO: Final = ("principal", "address")
_PRIOR: Final = {"principal": (0.5, 100.0), "address": (0.5, 50.0)}  # refused of so many operations
_COLD: Final = (1.0, 0.5)  # mean and size of a newcomer's refusals: not every first hour is an attack
_FEW: Final = 3  # fewer refusals are nobody's trouble
_AFFECTED: Final = 0.5  # of a cohort's active members: then it is the cohort's finding


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the mid-p value below which refusals are told, `least` the smallest number worth telling.

    Refused log-ins of `accounts` or more different accounts from one address are told as such, and `guesses` of nobody
    named where one was let in after them. A cohort of `members` or more of which half is refused is told once, as a
    cohort. A principal seen in fewer than `windows` windows is a newcomer. Refusals without a valid token are told from
    `flood` of one address on. `keys` bounds the memory, for principals and twice for addresses.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6
    least: int = 8
    paths: int = 10
    accounts: int = 5
    guesses: int = 20
    members: int = 4
    windows: int = 12
    flood: Annotated[int, msgspec.Meta(ge=1)] = 300
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Refusals of principals or addresses: row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # key, cohort, n, denied, paths, accounts
    keys: Keys
    denied: Floats
    total: Floats
    mean: Floats
    p: Floats
    surprise: Floats  # where it is odd, else 0
    worth: Floats  # of that
    odd: Bools


class Denials:
    """Remembers per principal and per address how many operations were refused, and what a surprise is worth."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._habits = {who: Habits(config.keys) for who in WHO}
        self._conformal = {who: Conformal() for who in WHO}
        self._unknown = Unknown(config.flood, config.keys)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        found = self._unknown.inspect(window)
        for who in WHO:
            counts, keys = counted(who, window)
            if counts.is_empty():
                continue
            judged = self._judge(who, counts, keys, window.start_us)
            common = self._cohorts(judged) if who == "principal" else []
            found += [self._common(judged, name, window) for name in common]
            odd = [i for i in np.flatnonzero(judged.odd).tolist() if counts["cohort"][i] not in common]
            word = self._principal if who == "principal" else self._address
            found += [one for i in odd if (one := word(judged, i, window)) is not None]
            if window.closed:
                shared = counts["cohort"].is_in(common).to_numpy() if common else False
                self._learn(who, judged, np.where(shared, 0.0, judged.surprise), window.start_us)
        return tell(self.info, window, found)

    def _judge(self, who: str, counts: pl.DataFrame, keys: Keys, at_us: int) -> Judged:
        denied, total = (counts[name].to_numpy().astype(np.float64) for name in ("denied", "n"))
        usual = self._habits[who].usual(keys, _kind(who, keys), total, at_us, _PRIOR[who])
        mean, size = usual.mean, usual.size
        if who == "principal":
            cold = usual.windows < self._config.windows
            mean, size = np.where(cold, np.maximum(mean, _COLD[0]), mean), np.where(cold, _COLD[1], size)
        p = _tails.upper_where(denied >= _FEW, denied, mean, size)
        odd = (p <= self._config.p) & (denied >= self._config.least) & (denied > 1.5 * usual.peak)
        if who == "address":
            odd &= (counts["accounts"].to_numpy() >= self._config.accounts) | (denied >= self._config.guesses)
        surprise = np.where(odd, _tails.surprise(p), 0.0)
        worth = self._conformal[who].worth(_kind(who, keys), surprise, at_us)
        return Judged(counts, keys, denied, total, mean, p, surprise, worth, odd)

    def _learn(self, who: str, judged: Judged, surprise: Floats, at_us: int) -> None:
        self._habits[who].learn(
            at_us, judged.keys, _kind(who, judged.keys), count=judged.denied, exposure=judged.total, mean=judged.mean
        )
        self._conformal[who].learn(_kind(who, judged.keys), surprise, at_us)

    def _cohorts(self, judged: Judged) -> list[str]:
        """Cohorts with enough members of which at least half is refused far more than usual."""
        odd = judged.odd | ((judged.denied >= _FEW) & (judged.p < 1e-3))
        if odd.sum() < self._config.members:
            return []
        hit = judged.counts.select("cohort", odd=pl.Series(odd))
        groups = hit.group_by("cohort").agg(
            pl.len().alias("members"), pl.col("odd").sum(), pl.col("odd").mean().alias("share")
        )
        enough = (pl.col("odd") >= self._config.members) & (pl.col("share") >= _AFFECTED) & (pl.col("cohort") != "")
        return groups.filter(enough)["cohort"].sort().to_list()

    def _common(self, judged: Judged, name: str, window: Window) -> Found:
        members = judged.counts.with_columns(mean=pl.Series(judged.mean)).filter(pl.col("cohort") == name)
        hit = members.filter(pl.col("denied") > 0)
        rows = window.operations.filter(
            pl.col("principal").is_in(hit["key"].to_list()) & (pl.col("outcome") == "denied")
        )
        denied, mean = int(hit["denied"].sum()), float(members["mean"].sum())
        return Found(
            key=f"cohort:{name}",
            cause="denials_common",
            title="Refusals of a whole group",
            severity="high",
            confidence=0.9,
            score=_tails.score(float(_tails.surprise(judged.p[judged.counts["cohort"].to_numpy() == name]).sum())),
            message=f"{len(hit)} of {len(members)} active principals of {show(name)} are refused, {denied} times in an"
            f" hour, mostly on {ways(rows, 'secret') or ways(rows, 'path')}.",
            observed=f"{denied} refusals of {len(hit)} principals, first {first_of(rows)}",
            expected=f"{figure(mean)} refusals",
            next_step="Look for a change of policy, role or auth method before it and undo it; workloads are cut off.",
            **seen_in(rows),
        )

    def _principal(self, judged: Judged, i: int, window: Window) -> Found:
        key, paths = judged.counts["key"][i], int(judged.counts["paths"][i])
        rows = window.operations.filter((pl.col("principal") == key) & (pl.col("outcome") == "denied"))
        broad = paths >= self._config.paths
        return Found(
            key=f"principal:{key}",
            severity="high" if broad and paths >= 3 * self._config.paths else "medium",
            confidence=0.8,
            score=_tails.score(float(judged.worth[i])),
            message=f"{show(key)} was refused {figure(judged.denied[i])} times on {paths} different paths:"
            f" {ways(rows, 'secret') or ways(rows, 'path')}.",
            observed=f"{figure(judged.denied[i])} of {figure(judged.total[i])} operations refused,"
            f" first {first_of(rows)}",
            expected=f"{figure(judged.mean[i])} of {figure(judged.total[i])}",
            next_step="Many different paths: somebody tries doors; check the client and revoke its tokens. The same few"
            " paths: a policy, role or rotated credential no longer fits; compare with the last change.",
            principal=key,
            secret=rows["secret"][0] if rows["secret"].n_unique() == 1 and rows["secret"][0] else None,
            **seen_in(rows),
        )

    def _address(self, judged: Judged, i: int, window: Window) -> Found | None:
        key, accounts = judged.counts["key"][i], int(judged.counts["accounts"][i])
        numbers = (float(judged.denied[i]), float(judged.total[i]), float(judged.mean[i]))
        tried = Tried(key, *numbers, _tails.score(float(judged.worth[i])))
        return tried.many(accounts, window) if accounts >= self._config.accounts else tried.guessed(window)

    def snapshot(self) -> Frames:
        """For principals and for addresses two tables and an age, and what surprises are worth; those of nobody."""
        parts = [part[who].snapshot(who) for part in (self._habits, self._conformal) for who in WHO]
        parts.append(self._unknown.snapshot())
        return {name: frame for frames in parts for name, frame in frames.items()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        for who in WHO:
            self._habits[who].restore(who, frames)
            self._conformal[who].restore(who, frames)
        self._unknown.restore(frames)


def counted(who: str, window: Window) -> tuple[pl.DataFrame, Keys]:
    """Columns key, n, denied, paths, accounts, cohort; one row per principal or address, in the order of names."""
    if who == "principal":
        return _of_principals(People.of(window))
    rows = window.operations.filter(login())
    if rows.is_empty():
        return rows, np.empty(0, np.uint64)
    numbers = _numbers() if "denied" in rows["outcome"] else _NO_NUMBERS
    counts = rows.group_by(pl.col("client_ip").alias("key")).agg(numbers).sort("key")
    return counts.with_columns(cohorts(counts["key"]).alias("cohort")), keys_of(counts["key"])


def _of_principals(people: People) -> tuple[pl.DataFrame, Keys]:
    """Only refused rows are grouped by what they name: most principals have none."""
    each = people.each(people.rows, n=lambda of: of.sum(people.rows["n"].to_numpy()))
    refused = people.rows.filter(pl.col("outcome") == "denied")
    some = refused.group_by("who").agg(_numbers()) if len(refused) else None
    told = [people.names.alias("key"), each.frame["n"], each.frame["cohort"]]
    for name, kind in (("denied", np.int64), ("paths", np.uint32), ("accounts", np.uint32)):
        values = np.zeros(len(each.keys), kind)
        if some is not None:
            values[some["who"].to_numpy()] = some[name].to_numpy()
        told.append(pl.Series(name, values))
    return pl.DataFrame(told), each.keys


@cache
def _numbers() -> tuple[pl.Expr, ...]:
    denied = pl.col("outcome") == "denied"
    path = pl.when(pl.col("secret") != "").then(pl.col("secret")).otherwise(pl.col("path"))
    account = pl.when(pl.col("principal") == "anonymous").then(pl.col("path")).otherwise(pl.col("principal"))
    return (
        pl.col("n").sum(),
        pl.col("n").filter(denied).sum().alias("denied"),
        path.filter(denied).n_unique().alias("paths"),
        account.filter(denied).n_unique().alias("accounts"),
    )


_NO_NUMBERS: Final = (
    pl.col("n").sum(), pl.lit(0, pl.Int64).first().alias("denied"),
    *(pl.lit(0, pl.UInt32).first().alias(name) for name in ("paths", "accounts")),
)  # fmt: skip


def _kind(who: str, keys: Keys) -> Keys:
    """One kind for all principals and one for all addresses: the share of refusals scatters alike."""
    return np.full_like(keys, joined(1 + WHO.index(who), np.zeros(1, np.uint64))[0])


def create(config: Config) -> Denials:
    """The detector, with nothing remembered."""
    return Denials(config)
