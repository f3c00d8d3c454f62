"""Which principal does what in which engine: tallies by hashed key in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of_few
from detectors._people import Each, People
from detectors._usual import Bools, Floats
from detectors._window import APART, OLD_VERSION, READ
from pipeline.core.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

# Reads are what every program does, but for those of what is encrypted or gone; log-ins, policies and audit devices
# have detectors of their own.
ACTS: Final = {
    "list": "looked around in", "write": "wrote to", "delete": "deleted from", "rotate": "rotated in",
    "revoke": "revoked in", "other": "used", "decrypt": "decrypted in", "old version": "read old versions in",
    "undelete": "brought back deleted versions in", "describe": "set metadata in",
    "wrap": "had wrapped what it read in",
}  # fmt: skip
_TAKEN: Final = ("decrypt", "old version", "wrap")
_ACT, _DOERS, _KIND, _KIND_DAYS, _KIND_NEW, _NEW = range(6)
_FLOOR: Final = 1e-3
_SMALL: Final = 3.0  # principals added to every kind, so that none among a handful is no rarity
_BORROWED: Final = 10.0  # days' worth of belief in the kind's habit of new acts
_BEGUN: Final = 50.0  # days added to a kind's, so that a young memory does not call everything rare
_BURSTY: Final = 3.0
_LATE_US: Final = 12 * HOUR_US
_IN_DATA: Final = pl.col("path").str.contains("/data/", literal=True)  # of KV 2: a secret itself
_DESCRIBED: Final = (
    (pl.col("operation") == "write") & pl.col("path").str.contains("/metadata/", literal=True) & ~_IN_DATA
)
_DECRYPT: Final = READ & pl.col("path").str.contains("/decrypt/", literal=True) & ~_IN_DATA
_WRAPPED: Final = READ & ~pl.col("discloses_value") & _IN_DATA
_ASKED: Final = (pl.col("operation").is_in(tuple(ACTS)) | OLD_VERSION | _DECRYPT | _WRAPPED) & (
    pl.col("outcome") == "success"
)


def _word() -> pl.Expr:
    """What of ACTS it was."""
    gone = APART & (pl.col("operation") == "write")
    return (
        pl.when(OLD_VERSION).then(pl.lit("old version")).when(gone).then(pl.lit("undelete"))
        .when(_DECRYPT).then(pl.lit("decrypt")).when(_DESCRIBED).then(pl.lit("describe"))
        .when(_WRAPPED).then(pl.lit("wrap")).otherwise("operation")
    )  # fmt: skip


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
    who: Ints  # rows of `each`
    each: Each  # everybody present
    strange: Bools  # of each: never here before
    absent: Bools  # not today
    before: Ints  # on how many days before this one
    window: Window

    @classmethod
    def of(cls, window: Window) -> Acts:
        """Those of principals that are one."""
        people, profiles, start_us = People.of(window), window.profiles, window.start_us
        asked = people.rows.select(_ASKED.arg_true()).to_series()
        rows = people.rows.select("who", "operation", "act", "items", "secret", "path", "discloses_value")[asked]
        rows = rows.with_columns(place=_place(), operation=_word())
        by = ("who", "operation", "place")
        frame = rows.sort(*by, "secret").unique(by, keep="first", maintain_order=True)
        who = frame["who"].to_numpy().astype(np.int64)
        frame = frame.with_columns(principal=people.names[frame["who"]])
        each = people.each(people.rows)
        ids = pl.DataFrame({"principal": profiles.numbers("principal", window)[people.places]})
        past = profiles.lookup("principal", ids, start_us, ("known", "last_us", "days_active"))
        known = past["known"].to_numpy()
        today = known & (past["last_us"].fill_null(0).to_numpy() // DAY_US == start_us // DAY_US)
        before = past["days_active"].to_numpy() - today
        verb, place = keys_of_few(frame["operation"]), keys_of_few(frame["place"])
        act, what = joined(_ACT, each.keys[who], verb, place), joined(_DOERS, each.kinds[who], verb, place)
        return cls(frame, act, what, who, each, ~known, ~today, before, window)

    def days(self, rows: Ints) -> Ints:
        """On how many days before this one the principals of these acts were there."""
        return self.before[self.who[rows]]

    def rows(self, at: int) -> pl.DataFrame:
        """The WINDOW rows of one act."""
        one = self.frame.row(at, named=True)
        mine = self.window.operations.filter((pl.col("principal") == one["principal"]) & _ASKED)
        return mine.filter((_word() == one["operation"]) & (_place() == one["place"]))

    def taken(self, rows: Ints) -> Floats:
        """How many values each of these acts got out of what was encrypted or gone, or wrapped; at least one."""
        some = self.frame["operation"][rows].is_in(_TAKEN).to_numpy()
        n = np.ones(len(rows))
        n[some] = [float(self.rows(at)["n"].sum()) for at in rows[some].tolist()]
        return n


class Habit:
    """Acts of each principal, how many of a kind do the same, and what a kind came new to of late. 24 bytes an act."""

    def __init__(self, limit: int) -> None:
        self._tally = Table(1, limit)
        self._late = Table(1, limit, _LATE_US)

    def _get(self, tag: int, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, keys), 0)[:, 0])

    def new(self, acts: Acts) -> Bools:
        """Acts never done before."""
        return ~self._tally.knows(acts.act)

    def crowd(self, acts: Acts, moved: Ints) -> Floats:
        """How many others of its kind came new to the same as each of the acts `moved`, lately or in this window."""
        distinct, each, count = np.unique(acts.what[moved], return_inverse=True, return_counts=True)
        late = self._late.get(distinct, acts.window.start_us)[:, 0]
        return np.asarray((count + late)[each] - 1)

    def surprise(self, acts: Acts, at: Ints) -> Floats:
        """-log10 of the chance of each of the new acts `at`."""
        if not len(at):
            return np.zeros(0)
        who = acts.who[at]
        kind, days = acts.each.kinds[who], acts.days(at) + 1.0
        share = (self.doers(acts, at) + 0.5) / (self._get(_KIND, kind) + _SMALL)
        habit = (self._get(_KIND_NEW, kind) + 0.5) / (self._get(_KIND_DAYS, kind) + _BEGUN)
        shape = self._get(_NEW, acts.each.keys[who]) + habit * _BORROWED
        tail = _tails.upper(np.ones(len(at)), shape / (days + _BORROWED), np.minimum(shape, _BURSTY))
        return np.asarray(_tails.surprise(tail) - np.log10(np.clip(share, _FLOOR, 1.0)))

    def doers(self, acts: Acts, at: Ints) -> Floats:
        """How many of its kind did the same as each of the acts `at`."""
        return np.asarray(self._tally.get(acts.what[at], 0)[:, 0])

    def told(self, acts: Acts, at: int) -> tuple[int, float, float]:
        """Days of the principal of one act, how many of its kind did the same, and how many there are."""
        one = np.array([at])
        kin = self._get(_KIND, acts.each.kinds[acts.who[one]])
        return int(acts.days(one)[0]), float(self.doers(acts, one)[0]), float(kin[0])

    def learn(self, acts: Acts, new: Bools, moved: Ints, alone: Ints) -> None:
        """Add a closed window. Only what is new to those `alone` is a habit of new acts."""
        at_us, kinds = acts.window.start_us, acts.each.kinds
        self._tally.put(acts.act, np.ones((len(acts.act), 1)), at_us)
        grown = np.concatenate([
            joined(_KIND, kinds[acts.strange]),
            joined(_KIND_DAYS, kinds[acts.absent]),
            acts.what[new],
            joined(_KIND_NEW, kinds[acts.who[alone]]),
            joined(_NEW, acts.each.keys[acts.who[alone]]),
        ])  # fmt: skip
        self._tally.add(grown, np.ones((len(grown), 1)), at_us)
        self._late.add(acts.what[moved], np.ones((len(moved), 1)), at_us)

    def snapshot(self) -> Frames:
        """Two tables."""
        return {"tally": self._tally.snapshot(), "late": self._late.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["tally"])
        self._late.restore(frames["late"])
