"""Which programs each principal is used by, how often its kind comes new to one, and how many use each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of, keys_of_few, unique
from detectors._operation import said_of
from detectors._since import Since
from detectors._text import figure, show
from detectors._window import Found
from detectors.program_novelty.agents import shown
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.owned import added
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from datetime import datetime

    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames

_OWN, _USERS, _KIND = range(3)
_SMALL: Final = 3.0  # principals added to every kind, so that none among a handful is no rarity
_BORROWED: Final = 10.0  # days' worth of belief in the kind's habit
_BEGUN: Final = 50.0  # days added to a kind's, so that a young memory does not call everything rare
_LATE_US: Final = 12 * HOUR_US
_MOST: Final = 100_000  # pairs of one hour
_A_FEW: Final = 3  # new programs of one principal in an hour that are told
_PAIR: Final = ("principal", "kind", "program")
_KEYS: Final = ("own", "users", "who", "kin")
_NONE: Final = pl.DataFrame(schema={**dict.fromkeys(_KEYS, pl.UInt64), "fresh": pl.Boolean})

_FRESH: Final = pl.DataFrame(
    schema={
        **dict.fromkeys(_KEYS, pl.UInt64),
        **dict.fromkeys(
            ("uid", "store", "principal", "kind", "program", "user_agent", "client_ip", "operation", "secret", "path"),
            pl.String,
        ),
        "time": TIME,
    }
)


class Programs:
    """24 bytes a pair of principal and program, 48 a principal."""

    def __init__(self, surprise: float, days: int, settle_hours: int, together: int, limit: int) -> None:
        self._surprise, self._days, self._together = surprise, days, together
        self._settle_us = settle_hours * HOUR_US
        self._tally = Table(1, limit)  # of each principal's program 1, of a kind's how many use it
        self._late = Table(1, limit, _LATE_US)  # how many of a kind came new to a program
        self._habits = Table(4, limit)  # of principals: days there, days with a new program, the last of both; of kinds
        self._since = Since()
        self._open = _NONE  # the pairs of the current hour
        self._fresh = _FRESH  # what is told of them when it is over, and not of a release
        self._hour = 0

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Take rows of one hour, one for each use, in the order in which they became complete.

        Gives what is told of the hour before, once there is a row of this one.
        """
        found: list[Found] = []
        if hour > self._hour:
            found = self._told(rows["complete_time"][0])
            self._learn()
            self._hour = hour
        pairs = rows.with_columns(kind=pl.col("principal_type").fill_null(""))
        pairs = pairs.unique(_PAIR, keep="first", maintain_order=True)
        pairs = pairs.hstack(_keyed(pairs))
        pairs = pairs.join(self._open, on="own", how="anti", maintain_order="left").head(_MOST - len(self._open))
        if len(pairs):
            own, who = (pairs[name].to_numpy() for name in ("own", "who"))
            pairs = pairs.with_columns(fresh=pl.Series(~self._tally.knows(own) & self._settled(who)))
            self._open = added(self._open, pairs.select(_NONE.columns))
            self._fresh = added(self._fresh, pairs.filter("fresh").select(_FRESH.columns))
        return found

    def _told(self, ready: datetime) -> list[Found]:
        """Of the hour that is over those of the new pairs that are odd enough, and none of a new release."""
        if self._fresh.is_empty():
            return []
        _, users, who, kind = (self._fresh[name].to_numpy() for name in _KEYS)
        late = self._late.get(users, self._hour * HOUR_US)[:, 0]
        pairs = self._fresh.with_columns(
            surprise=pl.Series(self._judged(who, kind, users)),
            others=pl.len().over("users") - 1 + pl.Series(late),
            nth=pl.int_range(1, pl.len() + 1).over("who"),
            uses=pl.Series(self._tally.get(users, 0)[:, 0]),
            members=pl.Series(self._habits.get(kind, 0)[:, 2]),
            days=pl.Series(self._habits.get(who, 0)[:, 0]),
        )
        told = pairs.filter(
            pl.col("surprise") >= self._surprise, pl.col("others") < self._together, pl.col("nth") <= _A_FEW
        )
        return [self._found({**row, "complete_time": ready}) for row in told.iter_rows(named=True)]

    @property
    def begun(self) -> bool:
        """Whether any program was ever seen."""
        return self._since.begun or len(self._open) > 0

    def _settled(self, who: Keys) -> Bools:
        """Who was there on enough days, once the memory is old enough."""
        old = self._since.age_us(self._hour * HOUR_US) >= self._settle_us
        settled: Bools = (self._habits.get(who, 0)[:, 0] >= self._days) & old
        return settled

    def _judged(self, who: Keys, kind: Keys, users: Keys) -> Floats:
        """-log10 of the chance that one of these comes new to a program today, and to this one."""
        days, fresh, _, _ = self._habits.get(who, 0).T
        kind_days, kind_fresh, members, _ = self._habits.get(kind, 0).T
        habit = (kind_fresh + 0.5) / (kind_days + _BEGUN)
        rate = np.minimum((fresh + _BORROWED * habit) / (days + _BORROWED), 1.0)
        share = (self._tally.get(users, 0)[:, 0] + 0.5) / (members + _SMALL)
        surprise: Floats = -np.log10(rate) - np.log10(np.minimum(share, 1.0))
        return surprise

    def _learn(self) -> None:
        """Add the hour that is over."""
        if self._open.is_empty():
            return
        at_us = self._hour * HOUR_US
        own, users, who, kind = (self._open[name].to_numpy() for name in _KEYS)
        new, fresh = ~self._tally.knows(own), self._open["fresh"].to_numpy().astype(np.float64)
        self._late.add(users[fresh > 0], np.ones((int(fresh.sum()), 1)), at_us)
        self._tally.add(users[new], np.ones((int(new.sum()), 1)), at_us)
        seen = unique(own)
        self._tally.put(seen, np.ones((len(seen), 1)), at_us)
        self._present(who, kind, fresh)
        self._since.begin(at_us)
        self._open, self._fresh = _NONE, _FRESH

    def _present(self, who: Keys, kind: Keys, fresh: Floats) -> None:
        """Count days, days with a new program, and members: however many programs somebody tries, it is one day.

        A principal's last two numbers are the days of the last of each, from 1 on; a kind's third is its members.
        """
        at_us, today = self._hour * HOUR_US, self._hour * HOUR_US // DAY_US + 1
        _, first, place = np.unique(who, return_index=True, return_inverse=True)
        mine, kinds = who[first], kind[first]
        days, tried, last, last_tried = self._habits.get(mine, 0).T
        back, more = last != today, (np.bincount(place, fresh, len(mine)) > 0) & (last_tried != today)
        now = [days + back, tried + more, np.full(len(mine), today), np.where(more, today, last_tried)]
        self._habits.put(mine, np.stack(now, axis=1), at_us)
        grown = np.stack([back, more, last == 0, np.zeros(len(mine))], axis=1).astype(np.float64)
        self._habits.add(kinds, grown, at_us)

    def _found(self, row: dict[str, Any]) -> Found:
        who, person = row["principal"], row["kind"] == "human"
        program = shown(row["user_agent"])
        return Found(
            key=f"{who} {row['program']} {self._hour}",
            cause="program_novelty",
            severity="low" if person else "medium",
            confidence=0.6,
            score=_tails.score(row["surprise"]),
            message=f"{show(who)}, known on {figure(row['days'])} days, was used by {program} for the first time:"
            f" {row['operation']} of {show(row['secret'] or row['path'])}.",
            observed=f"a program that {figure(row['uses'])} of {figure(row['members'])} of its kind use",
            expected="the programs that used it until now",
            next_step="Ask the owner whether the program changed. If not: revoke the tokens and the credential they"
            " came from, and see what else that address did (view operations). A user agent is what a client says of"
            " itself: a thief who copies it does not show here.",
            principal=who,
            secret=row["secret"] or None,
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frames tally, late, habits, since, open, fresh, hour."""
        return {
            "tally": self._tally.snapshot(),
            "late": self._late.snapshot(),
            "habits": self._habits.snapshot(),
            "since": self._since.snapshot(),
            "open": self._open,
            "fresh": self._fresh,
            "hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["tally"])
        self._late.restore(frames["late"])
        self._habits.restore(frames["habits"])
        self._since.restore(frames["since"])
        self._open, self._fresh = frames["open"], frames["fresh"]
        self._hour = frames["hour"]["hour"][0]


def _keyed(pairs: pl.DataFrame) -> pl.DataFrame:
    """Of each principal's program, of its kind's, of the principal, of the kind."""
    who, kind, program = keys_of(pairs["principal"]), keys_of_few(pairs["kind"]), keys_of_few(pairs["program"])
    keys = joined(_OWN, who, program), joined(_USERS, kind, program), joined(_OWN, who), joined(_KIND, kind)
    return pl.DataFrame(dict(zip(_KEYS, keys, strict=True)))
