"""When a principal is usually there: hours of the day, and how long it stays away between two times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._accounts import account_in
from detectors._memory import Keys, Table, distinct_of, keys_of, unique
from detectors._people import People
from detectors._since import Since
from detectors._usual import Bools, Floats
from detectors.dormancy.places import marks
from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

BINS: Final = 12  # of two hours
_N, _GAP, _LONGEST, _WOKE, _AWAY, _RETURNS = range(BINS, BINS + 6)  # columns behind the bins
GAPS: Final = 16  # bins of absences, two for each doubling from eight hours on
_SETTLED: Final = 24.0  # windows that make a rhythm, even of one who was never away
_ABSENT_H: Final = 8.0  # shorter is no absence
_HEARSAY: Final = 20.0  # absences' worth of belief in the law, against those that the kind had
_FORGET: Final = 512.0  # windows after which what is old counts for little
_BORROWED: Final = 20.0  # windows' worth of belief in the kind's hours
_MONTH_H: Final = 720.0  # held of somebody seen once
_KINDS: Final = 256
_TAIL: Final = 2.0  # exponent of the law of absences: people go on leave, so it is a heavy one
_LONG_H: Final = 336.0  # a memory of two weeks tells of who was never there
_LOCAL: Final = r"^userpass(?:[-/]|$)"  # accounts that nothing but the store's own log tells of
_ACCOUNT: Final = r"^auth/(.+)/users/([^/]+)$"
_SMOOTH: Final = 0.25  # of a bin's weight lies in each neighbour: a clock change is no news


@dataclass(frozen=True, slots=True)
class Present:
    """Who was there with success; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, kind, cohort, values: in the order of names
    keys: Keys
    kinds: Keys
    cohorts: Keys
    marks: Keys  # of the networks each came from
    made: Keys  # accounts that were written in the window, whoever was there

    @classmethod
    def of(cls, window: Window) -> Present | None:
        """None when nobody was."""
        people = People.of(window)
        rows = people.rows.filter(pl.col("outcome") == "success")
        if rows.is_empty():
            return None
        values = np.where(rows["discloses_value"].fill_null(value=False).to_numpy(), rows["n"].to_numpy(), 0)
        each = people.each(
            rows, values=lambda each: each.sum(values), marks=lambda each: marks(people, each)
        )  # fmt: skip
        frame, came_from = each.frame.drop("marks"), each.frame["marks"].to_numpy()
        return cls(frame, each.keys, each.kinds, each.cohorts, came_from, _made(window))


@dataclass(frozen=True, slots=True)
class Told:
    """Surprises (-log10) of being there now; row i is row i of Present."""

    known: Floats  # windows seen
    away_h: Floats  # hours since last there, or before it woke a little while ago; 0 for newcomers
    never: Bools  # a local account older than this memory, and never there in it: away for as long as it is
    gap: Floats  # surprise of that absence
    hour: Floats  # surprise of this time of day
    own: Floats  # what Rhythm remembers of each
    gone: Floats  # hours since last there, whatever it woke from


class Rhythm:
    """Per principal 18 numbers and 16 bytes: 160 bytes. Past `limit` those not seen for longest go.

    How rare an absence is follows from a heavy law around the principal's own mean, and from the absences that all of
    its kind came back from: where nobody stays away for two weeks, one who did is news. Names that match `by_nature`
    are accounts that are never there.
    """

    def __init__(self, limit: int, awake_hours: float, by_nature: str) -> None:
        self._who = Table(BINS + 6, limit)
        self._kinds = Table(BINS + GAPS, _KINDS)
        self._since = Since()
        self._awake_us = awake_hours * HOUR_US
        self._by_nature = by_nature

    def judged(self, present: Present, at_us: int) -> Told:
        """What is odd about those present."""
        own, gone = self._who.get(present.keys, at_us), self._gone(present, at_us)
        known, longest = own[:, _N], self._longest(own, at_us)
        away = np.where(self._awake(own, at_us), np.maximum(own[:, _AWAY], gone), gone)
        never = self._never(present, at_us)
        away = np.where(never, self._since.age_us(at_us) / HOUR_US, away)
        usual = (own[:, _GAP] * known + _MONTH_H) / (known + 1)
        kinds, each = distinct_of(present.kinds)
        kind = self._kinds.get(kinds, at_us)
        settled = (own[:, _RETURNS] > 0) | (known >= _SETTLED) | never
        law = (1 + away / (_TAIL * usual)) ** -_TAIL
        gap = -np.log10(_rare(away, law, kind[:, BINS:], each, settled))
        gap = np.where(away <= 1.2 * longest, 0.0, gap)
        share = _smoothed(kind[:, :BINS]) + 1e-3
        share /= share.sum(axis=1, keepdims=True)
        hours = _smoothed(own[:, :BINS]) + (_BORROWED * share)[each]
        hours /= hours.sum(axis=1, keepdims=True)
        here = hours[:, _bin(at_us)][:, None]
        rarer = np.where(hours <= here * (1 + 1e-9), hours, 0.0).sum(axis=1)
        return Told(known, away, never, gap, -np.log10(np.clip(rarer, 1e-12, 1.0)), own, gone)

    def _never(self, present: Present, at_us: int) -> Bools:
        """Local accounts older than this memory that were never there in it: nobody saw them made."""
        if self._since.age_us(at_us) < _LONG_H * HOUR_US:
            return np.zeros(len(present.keys), dtype=np.bool_)
        names = present.frame["principal"]
        local = (names.str.contains(_LOCAL) & ~names.str.contains(self._by_nature)).to_numpy()
        never: Bools = local & (self._who.seen(present.keys) == 0) & ~np.isin(present.keys, present.made)
        return never

    def _gone(self, present: Present, at_us: int) -> Floats:
        """Hours since each was last there."""
        seen = self._who.seen(present.keys)
        return np.where(seen > 0, (at_us - seen) / HOUR_US, 0.0)

    def _longest(self, own: Floats, at_us: int) -> Floats:
        """The longest absence that is over: the return from it, too."""
        return np.maximum(own[:, _LONGEST], np.where(self._awake(own, at_us), 0.0, own[:, _AWAY]))

    def _awake(self, own: Floats, at_us: int) -> Bools:
        """Back only a little while ago, and not told of."""
        back: Bools = (own[:, _AWAY] > 0) & (at_us - own[:, _WOKE] <= self._awake_us)
        return back

    def learn(self, present: Present, told: Told, done: Bools, idle_h: float, at_us: int) -> None:
        """Add a closed window. Those `done` were told of: their absence is over."""
        self._since.begin(at_us)
        own, gap, seen = told.own, told.gone, self._who.seen(present.keys)
        new = own * (1 - 1 / _FORGET)
        fresh = (told.away_h >= idle_h) & ~done
        new[:, _LONGEST] = np.maximum(self._longest(own, at_us), np.where(fresh, 0.0, gap))
        new[:, _N] += 1
        back = gap >= _ABSENT_H
        new[:, _RETURNS] = own[:, _RETURNS] + back
        weight = np.minimum(own[:, _N], _FORGET)
        new[:, _GAP] = np.where(seen > 0, own[:, _GAP] + (gap - own[:, _GAP]) / np.maximum(weight, 1), 0.0)
        new[:, _bin(at_us)] += 1
        woke = np.where((gap >= idle_h) | (seen == 0), float(at_us), own[:, _WOKE])
        new[:, _WOKE] = np.where(fresh, woke, 0.0)
        new[:, _AWAY] = np.where(fresh, told.away_h, 0.0)
        self._who.put(present.keys, new, at_us)
        made = present.made[self._who.seen(present.made) == 0]
        self._who.put(made, np.zeros((len(made), BINS + 6)), at_us)
        kinds, each = distinct_of(present.kinds)
        sums = np.zeros((len(kinds), BINS + GAPS))
        sums[:, _bin(at_us)] = np.bincount(each)
        np.add.at(sums, (each[back], BINS + _gap_bin(gap[back])), 1)
        self._kinds.add(kinds, sums, at_us)

    def hours_of(self, key: Keys, at_us: int) -> str:
        """The hours of day (UTC) a principal is mostly seen in, in words."""
        bins = self._who.get(key, at_us)[0, :BINS]
        if bins.sum() <= 0:
            return "no hours known"
        many = np.flatnonzero(bins >= bins.max() / 4)
        return ", ".join(f"{2 * i:02}-{2 * i + 2:02}h" for i in many.tolist()[:6])

    def snapshot(self) -> Frames:
        """Frames who, kinds and since."""
        return {"who": self._who.snapshot(), "kinds": self._kinds.snapshot(), "since": self._since.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, as if it had begun just now."""
        self._who.restore(frames["who"])
        self._kinds.restore(frames["kinds"])
        if "since" in frames:
            self._since.restore(frames["since"])


def _made(window: Window) -> Keys:
    """The principals whose accounts were written to a method that keeps its own, as of userpass."""
    written = window.operations.filter(outcome="success").select(account_in(pl.col("act"), _ACCOUNT)).to_series()
    return unique(keys_of(written.drop_nulls()))


def _bin(at_us: int) -> int:
    return at_us // HOUR_US % 24 // 2


def _gap_bin(gap_h: Floats) -> npt.NDArray[np.int64]:
    halves = np.floor(2 * np.log2(np.maximum(gap_h, _ABSENT_H) / _ABSENT_H))
    return np.asarray(np.minimum(halves, GAPS - 1).astype(np.int64))


def _rare(away_h: Floats, law: Floats, kinds: Floats, kind: npt.NDArray[np.int64], settled: Bools) -> Floats:
    """The chance of so long an absence, of `kind` each: the least that the law and its kind allow.

    Of who was seen in one short stretch only, its kind says half as much: what comes once a month was seen once, too.
    """
    beyond = np.cumsum(kinds[:, ::-1], axis=1)[:, ::-1]  # absences of each bin and longer ones
    longer = beyond[kind, _gap_bin(away_h)]
    shared = (longer + _HEARSAY * law) / (beyond[kind, 0] + _HEARSAY)
    least = np.minimum(law, shared)
    return np.asarray(np.where(settled, least, np.sqrt(law * least)))


def _smoothed(bins: npt.NDArray[np.float64]) -> Floats:
    round_ = np.concatenate([bins[:, -1:], bins, bins[:, :1]], axis=1)
    sides = round_[:, :-2] + round_[:, 2:]
    return np.asarray((1 - 2 * _SMOOTH) * bins + _SMOOTH * sides)
