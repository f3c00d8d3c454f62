"""Which principal does what in which engine: tallies by hashed key in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of_few
from detectors._people import People
from detectors._usual import Bools, Floats
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

# Reads are what every program does, and log-ins, policies and audit devices have detectors of their own.
ACTS: Final = {
    "list": "looked around in", "write": "wrote to", "delete": "deleted from", "rotate": "rotated in",
    "revoke": "revoked in", "other": "used",
}  # fmt: skip
_ACT, _DOERS, _KIND, _KIND_DAYS, _KIND_NEW, _NEW = range(6)
_FLOOR: Final = 1e-3
_SMALL: Final = 3.0  # principals added to every kind, so that none among a handful is no rarity
_BORROWED: Final = 10.0  # days' worth of belief in the kind's habit of new acts
_BEGUN: Final = 50.0  # days added to a kind's, so that a young memory does not call everything rare
_BURSTY: Final = 3.0
_LATE_US: Final = 12 * HOUR_US
_ASKED: Final = pl.col("operation").is_in(tuple(ACTS)) & (pl.col("outcome") == "success")


def _place() -> pl.Expr:
    """The first folder of a secret, which is its mount; of what is no secret that of the path (`sys/`)."""
    named = pl.when(pl.col("secret") != "").then(pl.col("secret")).otherwise(pl.col("path"))
    return named.str.extract(r"^([^/]*/)").fill_null("")


@dataclass(frozen=True, slots=True)
class Acts:
    """The acts of a window that succeeded; row i of `frame`, `act` and `who` is one (principal, operation, place)."""

    frame: pl.DataFrame  # principal, operation, place, secret (the first by name), in the order of the first three
    act: Keys
    what: Keys  # of kind, operation and place
    who: Ints  # of `people`
    people: People
    kinds: Keys  # of each of the people
    day: int

    @classmethod
    def of(cls, window: Window) -> Acts:
        """Those of principals that are one."""
        people = People.of(window)
        asked = people.rows.select(_ASKED.arg_true()).to_series()
        rows = people.rows.select("who", "operation", "secret", "path")[asked].with_columns(place=_place())
        by = ("who", "operation", "place")
        frame = rows.sort(*by, "secret").unique(by, keep="first", maintain_order=True)
        who = frame["who"].to_numpy().astype(np.int64)
        frame = frame.with_columns(principal=people.names[frame["who"]])
        kinds = np.zeros(len(people.names), np.uint32)
        np.maximum.at(kinds, people.rows["who"].to_numpy(), people.rows["type"].to_numpy())
        kind = people.kind_keys[kinds] if len(kinds) else np.empty(0, np.uint64)
        verb, place = keys_of_few(frame["operation"]), keys_of_few(frame["place"])
        return cls(
            frame, joined(_ACT, people.keys[who], verb, place), joined(_DOERS, kind[who], verb, place), who, people,
            kind, window.start_us // DAY_US,
        )  # fmt: skip

    def rows(self, at: int, window: Window) -> pl.DataFrame:
        """The WINDOW rows of one act."""
        one = self.frame.row(at, named=True)
        mine = (pl.col("principal") == one["principal"]) & (pl.col("operation") == one["operation"])
        return window.operations.filter(mine & (pl.col("outcome") == "success") & (_place() == one["place"]))


class Habit:
    """Days of each principal; acts of each, how many of a kind do the same, and what a kind came new to of late."""

    def __init__(self, limit: int) -> None:
        self._met = Table(2, limit)  # the last day, days
        self._tally = Table(1, limit)
        self._late = Table(1, limit, _LATE_US)

    def _get(self, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(keys, 0)[:, 0])

    def days(self, acts: Acts) -> Floats:
        """On how many days before this one the principal of each act was there."""
        last, days = self._met.get(acts.people.keys, 0)[acts.who].T
        return np.asarray(days - (last == acts.day))

    def new(self, acts: Acts) -> Bools:
        """Acts never done before."""
        return ~self._tally.knows(acts.act)

    def crowd(self, acts: Acts, moved: Bools, at_us: int) -> Floats:
        """How many others of its kind came new to the same, lately or in this window; 0 for what did not move."""
        out = np.zeros(len(moved))
        if not moved.any():
            return out
        what = acts.what[moved]
        distinct, each, count = np.unique(what, return_inverse=True, return_counts=True)
        out[moved] = (count + self._late.get(distinct, at_us)[:, 0])[each] - 1
        return out

    def surprise(self, acts: Acts, at: Ints) -> Floats:
        """-log10 of the chance of each of the new acts `at`."""
        if not len(at):
            return np.zeros(0)
        who = acts.who[at]
        kind = acts.kinds[who]
        kin, days = self._get(joined(_KIND, kind)), self._met.get(acts.people.keys, 0)[who, 1]
        share = np.clip((self._get(acts.what[at]) + 0.5) / (kin + _SMALL), _FLOOR, 1.0)
        habit = (self._get(joined(_KIND_NEW, kind)) + 0.5) / (self._get(joined(_KIND_DAYS, kind)) + _BEGUN)
        shape = self._get(joined(_NEW, acts.people.keys[who])) + habit * _BORROWED
        tail = _tails.upper(np.ones(len(at)), shape / (days + _BORROWED), np.minimum(shape, _BURSTY))
        return np.asarray(_tails.surprise(tail) - np.log10(share))

    def told(self, acts: Acts, at: int) -> tuple[int, float, float]:
        """Days of the principal of one act, how many of its kind did the same, and how many there are."""
        one = acts.who[at : at + 1]
        doers, kin = self._get(acts.what[at : at + 1]), self._get(joined(_KIND, acts.kinds[one]))
        return int(self._met.get(acts.people.keys[one], 0)[0, 1]), float(doers[0]), float(kin[0])

    def learn(self, acts: Acts, new: Bools, moved: Bools, alone: Bools, at_us: int) -> None:
        """Add a closed window. Only what is new to those `alone` is a habit of new acts."""
        keys = acts.people.keys
        fresh = ~self._met.knows(keys)
        met = self._met.get(keys, at_us)
        today = fresh | (met[:, 0] != acts.day)
        met[:, 1] += today
        met[:, 0] = acts.day
        self._met.put(keys, met, at_us)
        self._tally.put(acts.act, np.ones((len(acts.act), 1)), at_us)
        habits = np.flatnonzero(alone)
        grown = np.concatenate([
            joined(_KIND, acts.kinds[fresh]),
            joined(_KIND_DAYS, acts.kinds[today]),
            acts.what[new],
            joined(_KIND_NEW, acts.kinds[acts.who[habits]]),
            joined(_NEW, keys[acts.who[habits]]),
        ])  # fmt: skip
        self._tally.add(grown, np.ones((len(grown), 1)), at_us)
        self._late.add(acts.what[moved], np.ones((int(moved.sum()), 1)), at_us)

    def snapshot(self) -> Frames:
        """Three tables."""
        return {"met": self._met.snapshot(), "tally": self._tally.snapshot(), "late": self._late.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._met.restore(frames["met"])
        self._tally.restore(frames["tally"])
        self._late.restore(frames["late"])
