"""Tokens that a second program uses, and how often that happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of, keys_of_few
from detectors._operation import said_of
from detectors._since import Since
from detectors._text import figure, show
from detectors._window import Found
from detectors.program_novelty.agents import shown
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.owned import added

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames

_TOKEN, _USE, _WHO, _KIND, _MIXED, _RELEASE = range(6)
_BORROWED: Final = 20.0  # tokens' worth of belief in the kind's habit
_BEGUN: Final = 50.0  # tokens added to a kind's, so that a young memory does not call everything rare
_HALF_LIFE_US: Final = 30 * DAY_US  # of habits
_LATE_US: Final = 12 * HOUR_US
_MOST: Final = 100_000  # uses of one hour
_A_FEW: Final = 3  # of one principal in an hour that are told
_KEYS: Final = ("token", "use", "who", "kin", "release")
_NONE: Final = pl.DataFrame(schema={**dict.fromkeys(_KEYS, pl.UInt64), "mixed": pl.Boolean})


class Passed:
    """24 bytes a token and 24 a program that used it, 32 a principal."""

    def __init__(self, surprise: float, settle_hours: int, together: int, limit: int) -> None:
        self._surprise, self._settle_us, self._together = surprise, settle_hours * HOUR_US, together
        self._uses = Table(1, limit)  # tokens, and programs of tokens
        self._habits = Table(2, limit, _HALF_LIFE_US)  # tokens, and those used by a second one; of such a one
        self._late = Table(1, limit, _LATE_US)  # of a kind and a program, whose tokens it was the second of
        self._since = Since()
        self._open = _NONE  # the uses of the current hour
        self._hour = 0

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge rows of one hour, one for each use, in the order in which they became complete."""
        if hour > self._hour:
            self._learn()
            self._hour = hour
        uses = rows.filter((pl.col("session") != "").fill_null(value=False))
        uses = uses.hstack(_keyed(uses)).unique("use", keep="first", maintain_order=True)
        uses = uses.join(self._open, on="use", how="anti", maintain_order="left").head(_MOST - len(self._open))
        if uses.is_empty():
            return []
        token, use, who, kind, release = (uses[name].to_numpy() for name in _KEYS)
        tokens = np.concatenate([self._open["token"].to_numpy(), token])
        second = ~_first(tokens)[len(self._open) :] | self._uses.knows(token)
        mixed = second & ~self._uses.knows(use)
        uses = uses.with_columns(mixed=pl.Series(mixed))
        first = len(self._open)
        self._open = added(self._open, uses.select(_NONE.columns))
        if not mixed.any() or self._since.age_us(hour * HOUR_US) < self._settle_us:
            return []
        nth = self._open.select(pl.col("mixed").cum_sum().over("who")).to_series()[first:]
        others = self._others()[first:] + self._late.get(release, hour * HOUR_US)[:, 0]
        surprise = self._judged(who, kind, release)
        uses = uses.with_columns(surprise=pl.Series(surprise), nth=nth, others=pl.Series(others))
        odd = (pl.col("surprise") >= self._surprise) & (pl.col("nth") <= _A_FEW)
        told = uses.filter("mixed", odd, pl.col("others") < self._together)
        return [self._found(row) for row in told.iter_rows(named=True)]

    def _others(self) -> Floats:
        """Of each use of the hour, of how many principals before it a token came to the same program."""
        mixed = self._open["mixed"].to_numpy()
        new = np.zeros(len(mixed))
        new[mixed] = _first(joined(0, *(self._open[name].to_numpy()[mixed] for name in ("release", "who"))))
        before = self._open.select("release", new=pl.Series(new)).select(
            (pl.col("new").cum_sum() - pl.col("new")).over("release")
        )
        return before.to_series().to_numpy()

    def _judged(self, who: Keys, kind: Keys, release: Keys) -> Floats:
        """-log10 of the chance that a token of each of these is used by a second program, and by this one."""
        at_us = self._hour * HOUR_US
        tokens, mixed = self._habits.get(who, at_us).T
        every, ever = self._habits.get(kind, at_us).T
        usual = (ever + 0.5) / (every + _BEGUN)
        this = self._habits.get(release, at_us)[:, 1]
        share = np.minimum((this + 0.5) / (ever + 1.0), 1.0)  # who tries out a token by hand takes what others take
        surprise: Floats = -np.log10((mixed + _BORROWED * usual) / (tokens + _BORROWED)) - np.log10(share)
        return surprise

    def _learn(self) -> None:
        """Add the hour that is over."""
        if self._open.is_empty():
            return
        at_us = self._hour * HOUR_US
        token, use, who, kind, release = (self._open[name].to_numpy() for name in _KEYS)
        first = ~self._uses.knows(token) & _first(token)
        once = joined(_MIXED, token)
        mixed = self._open["mixed"].to_numpy() & ~self._uses.knows(once)
        came = release[mixed][_first(joined(0, release[mixed], who[mixed]))]
        self._late.add(came, np.ones((len(came), 1)), at_us)
        mixed[mixed] = _first(who[mixed])  # a token with many programs, or many tokens of one principal, is one
        seen = np.unique(np.concatenate([token, use, once[mixed]]))
        self._uses.put(seen, np.ones((len(seen), 1)), at_us)
        each = np.stack([first, mixed], axis=1).astype(np.float64)
        every = np.concatenate([each, each, np.tile([0.0, 1.0], (len(came), 1))])
        self._habits.add(np.concatenate([who, kind, came]), every, at_us)
        self._since.begin(at_us)
        self._open = _NONE

    def _found(self, row: dict[str, Any]) -> Found:
        who, program = row["principal"], shown(row["user_agent"])
        return Found(
            key=f"{who} {row['session']} {row['program']}",
            cause="token_passed_on",
            title="A token is used by a second program",
            severity="medium",
            confidence=0.65,
            score=_tails.score(row["surprise"]),
            message=f"A token of {show(who)} that another program uses was used by {program}:"
            f" {row['operation']} of {show(row['secret'] or row['path'])}.",
            observed="two programs with one token",
            expected=f"one; such a second one is seen with one of {figure(10 ** row['surprise'])} tokens",
            next_step="Ask the owner whether both programs are theirs. If not: revoke the token and the credential it"
            " came from, and find out where it lies (a file, an environment, a shared machine).",
            principal=who,
            secret=row["secret"] or None,
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frames passed.uses, passed.habits, passed.late, passed.since, passed.open, passed.hour."""
        return {
            "passed.uses": self._uses.snapshot(),
            "passed.habits": self._habits.snapshot(),
            "passed.late": self._late.snapshot(),
            "passed.since": self._since.snapshot(),
            "passed.open": self._open,
            "passed.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no release known and no use of the hour."""
        self._uses.restore(frames["passed.uses"])
        self._habits.restore(frames["passed.habits"])
        self._since.restore(frames["passed.since"])
        if "passed.late" in frames:
            self._late.restore(frames["passed.late"])
        self._open = frames["passed.open"] if "release" in frames["passed.open"].columns else _NONE
        self._hour = frames["passed.hour"]["hour"][0]


def _first(keys: Keys) -> Bools:
    """Which of the keys come for the first time."""
    found = np.zeros(len(keys), dtype=np.bool_)
    found[np.unique(keys, return_index=True)[1]] = True
    return found


def _keyed(uses: pl.DataFrame) -> pl.DataFrame:
    """Of each token, of what used it, of whose it is, of the kind, of the kind's use of the program."""
    token, program = keys_of(uses["session"]), keys_of_few(uses["program"])
    who, kind = keys_of(uses["principal"]), keys_of_few(uses["principal_type"])
    keys = (
        joined(_TOKEN, token), joined(_USE, token, program), joined(_WHO, who), joined(_KIND, kind),
        joined(_RELEASE, kind, program),
    )  # fmt: skip
    return pl.DataFrame(dict(zip(_KEYS, keys, strict=True)))
