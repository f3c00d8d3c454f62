"""Somebody walks the tree: lists, looks up, guesses at names, tries what it may not read. See README.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._acts import Acts, Enough
from detectors._budget import Budget
from detectors._conformal import Conformal
from detectors._groups import place
from detectors._memory import Keys
from detectors._people import People
from detectors._text import figure, show
from detectors._usual import Bools, Floats, Habits, common_mode
from detectors._window import Found, first_of, seen_in, tell, ways
from detectors.enumeration import probing
from detectors.enumeration.slow import Slow
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="enumeration",
    version="1",
    title="Walks the tree of secrets",
    family="enumeration",
    summary="distinct names listed, looked up, guessed or refused per principal against its own habit",
    techniques=("T1580", "T1087.004"),
    measures=("F3", "M4"),
    early=("refused", "walked"),
)
_PRIOR: Final = (0.3, 60.0)  # names in so many operations of somebody nobody knows


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the mid-p value below which a walk is told, `least` the fewest names worth telling, `slow_least` those
    of late, guessed over many hours, `probes` the fewest questions for rights.

    `above_peak`: it must also be this many times the most that the principal had in one window. In the first
    `settle_hours` nobody is told. `per_day` is about how many are told a day. `keys` bounds the memory, 56 bytes each.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    least: int = 8
    slow_least: float = 12.0
    probes: int = 12
    above_peak: float = 1.5
    settle_hours: int = 48
    per_day: float = 1.0
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class Walks:
    """Row i of every array is row i of `counts`."""

    counts: pl.DataFrame  # principal, kind, n, cohort, names, listed, missing, refused; in the order of names
    keys: Keys
    kinds: Keys
    cohorts: Keys
    n: Floats
    operations: Floats


class Enumeration:
    """Remembers per principal how many names it asks for in vain, of so many operations; what that is worth."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._habits = Habits(config.keys)
        self._conformal = Conformal()
        self._budget = Budget(-math.log10(config.p), config.per_day)
        self._slow = Slow(config)
        enough = Enough(config.probes, config.p, config.above_peak, config.settle_hours, config.per_day)
        self._probes = Acts("probes", enough, config.keys, probing.counted, probing.told)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        people = People.of(window)
        if people.rows.is_empty():
            return empty(FINDING)
        asked = people.rows.filter(_asked())
        walks = _walks(people, asked)
        found = self._slow.inspect(asked, window) + self._probes.inspect(window)
        mean, size = self._usual(walks, window.start_us)
        factor = common_mode(walks.cohorts, (walks.n + 1) / (mean + 1))
        loud = self._loud(walks, factor, window.start_us)
        n = walks.n.copy()
        if loud.any():
            n[loud] -= _its_own(walks.counts["principal"].filter(pl.Series(loud)), window)
            loud &= n >= self._config.least
        surprise = _tails.surprise(_tails.upper_where(loud, n, (mean + 1) * factor - 1, size))
        odd = np.flatnonzero(loud & (surprise >= self._budget.threshold(window.start_us))).tolist()
        worth = self._conformal.worth(walks.kinds, surprise, window.start_us)
        found += [
            self._found(walks.counts.row(i, named=True), (n[i], mean[i], worth[i], factor[i]), window) for i in odd
        ]
        if window.closed:
            self._budget.note(window.start_us, surprise[loud].tolist())
            self._habits.learn(window.start_us, walks.keys, walks.kinds, count=n, exposure=walks.operations, mean=mean)
            self._conformal.learn(walks.kinds, surprise, window.start_us)
        return tell(self.info, window, found)

    def _usual(self, walks: Walks, at_us: int) -> tuple[Floats, Floats]:
        usual = self._habits.usual(walks.keys, walks.kinds, walks.operations, at_us, _PRIOR)
        return usual.mean, usual.size

    def _loud(self, walks: Walks, factor: Floats, at_us: int) -> Bools:
        settled = self._habits.age_hours(at_us) >= self._config.settle_hours
        peak = self._habits.peak(walks.keys, at_us)
        loud: Bools = (walks.n >= self._config.least) & (walks.n > self._config.above_peak * peak * factor)
        return loud & settled

    def _found(self, one: dict[str, Any], judged: tuple[float, float, float, float], window: Window) -> Found:
        n, mean, worth, factor = judged
        principal = one["principal"]
        rows = window.operations.filter((pl.col("principal") == principal) & _asked())
        folders = rows.with_columns(folder=place("secret", 3)).filter(pl.col("folder") != "")
        prefixes = folders["folder"].n_unique()
        parts = [f"{one[name]} {word}" for name, word in _WORDS.items() if one[name]]
        return Found(
            key=principal,
            severity="high" if n >= 30 and prefixes >= 10 else "medium",
            confidence=0.75,
            score=_tails.score(float(worth)),
            message=f"{show(principal)} walked over {figure(n)} names under {prefixes} prefixes in an hour"
            f" ({', '.join(parts)}): {ways(folders, 'folder')}.",
            observed=f"{figure(n)} names: {', '.join(parts)}; {_begun(rows)}",
            expected=f"{figure(mean)} in an hour, cohort factor {factor:.1f}",
            next_step="Ask the owner whether it is an inventory, a migration or a new tool. If not: revoke the tokens,"
            " take list rights out of the policy, and see what it read next (view operations).",
            principal=principal,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Two tables and an age; what surprises are worth; the budget; the same of slow walks and of probes."""
        hourly = {**self._habits.snapshot("walks"), **self._conformal.snapshot("walks"), **self._budget.snapshot()}
        return {**hourly, **self._slow.snapshot(), **self._probes.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._habits.restore("walks", frames)
        self._conformal.restore("walks", frames)
        self._budget.restore(frames)
        self._slow.restore(frames)
        self._probes.restore(frames)


_WORDS: Final = {"listed": "listed or looked up", "missing": "not there", "refused": "refused"}


def _begun(rows: pl.DataFrame) -> str:
    """The first of one walk's rows and, where it is another, the first refusal."""
    first, refused = first_of(rows), rows.filter(pl.col("outcome") == "denied")
    no = "" if refused.is_empty() else first_of(refused)
    return f"first {first}" + (f", first refused {no}" if no not in ("", first) else ", refused" if no else "")


@cache
def _asked() -> pl.Expr:
    """Asked for a name and got no value: a list, a look at metadata, a miss, a refusal."""
    return (
        (pl.col("operation") == "list")
        | (pl.col("outcome") == "not_found")
        | ((pl.col("outcome") == "denied") & (pl.col("secret") != ""))
    )


@cache
def _name() -> pl.Expr:
    return pl.when(pl.col("secret") != "").then("secret").otherwise("path")


@cache
def _numbers() -> tuple[pl.Expr, ...]:
    """Of one principal's rows the names asked for in vain: all, and by how."""
    listed, missing = pl.col("operation") == "list", pl.col("outcome") == "not_found"
    return (
        _name().n_unique().alias("names"),
        _name().filter(listed).n_unique().alias("listed"),
        _name().filter(missing & ~listed).n_unique().alias("missing"),
        _name().filter((pl.col("outcome") == "denied") & ~listed).n_unique().alias("refused"),
    )


def _walks(people: People, asked: pl.DataFrame) -> Walks:
    """Everybody present, with the number of names it asked for in vain, as rows `asked` tell."""
    present = people.each(people.rows, n=lambda each: each.sum(people.rows["n"].to_numpy()))
    each = asked.group_by("principal").agg(_numbers())
    counts = present.frame.join(each, on="principal", how="left", maintain_order="left")
    counts = counts.with_columns(pl.col("names", *_WORDS).fill_null(0))
    n = counts["names"].to_numpy().astype(np.float64)
    operations = counts["n"].to_numpy().astype(np.float64)
    return Walks(counts, present.keys, present.kinds, present.cohorts, n, operations)


def _its_own(principals: pl.Series, window: Window) -> Floats:
    """Of each principal's names those it is refused now and had before: a policy that broke, no walk."""
    refused = (pl.col("outcome") == "denied") & (pl.col("secret") != "") & (pl.col("operation") != "list")
    mine = pl.col("principal").is_in(principals.to_list())
    pairs = window.operations.filter(refused & mine).select("principal", "secret").unique().sort("principal", "secret")
    before = window.profiles.lookup("edge", pairs, window.start_us, ("known", "succeeded"))
    had = pairs.filter(before["known"] & before["succeeded"]).group_by("principal").len()
    told = principals.to_frame().join(had, on="principal", how="left", maintain_order="left")
    return told["len"].fill_null(0).to_numpy().astype(np.float64)


def create(config: Config) -> Enumeration:
    """The detector, with nothing remembered."""
    return Enumeration(config)
