"""Which principal uses which network zone: tallies by hashed key in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._groups import networks
from detectors._memory import Keys, Table, joined, keys_of, unique
from detectors._people import People
from detectors._runs import begins
from detectors._since import Since
from detectors._turns import behind
from detectors._usual import Bools, Floats

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

_PAIR, _EVERYBODY, _ZONE, _ZONES, _ACTIVE, _NEW, _KIND, _KIND_ACTIVE, _KIND_ZONE, _ALIKE, _WIDE = range(11)
_FLOOR: Final = 1e-3
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of moving
_BURSTY: Final = 3.0
_ANY_KIND: Final = 10.0  # principals' worth of belief in the zone's users of any kind
_CROWD: Final = 2.0  # times as many movers make a move within the wider network
_ROAMS: Final = 5.0  # zones that a principal has used, from which on another one of its network is no news
_RECENT: Final = 50_000  # adoptions kept


@dataclass(frozen=True, slots=True)
class Visits:
    """The (principal, zone) pairs of a window; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, zone, kind, in the order of names
    pair: Keys
    principal: Keys
    zone: Keys
    kind: Keys
    wide: Keys  # the wider network that the zone lies in
    first: Ints  # the first row of each principal

    @classmethod
    def of(cls, window: Window) -> Visits | None:
        """None when there is no pair."""
        people = People.of(window)
        rows = people.rows.filter(pl.col("zone") != "")
        if rows.is_empty():
            return None
        pairs, zones, at = people.pairs(rows, "zone")
        wide = networks(zones)
        zone, wider = (keys_of(names)[at] for names in (zones, wide))
        who = pairs.keys
        first = begins(who)
        wider = joined(0, pairs.kinds, wider)
        return cls(pairs.frame, joined(_PAIR, who, zone), who, zone, pairs.kinds, wider, first)


class Zones:
    """Tallies that only grow, past `limit` those not touched for longest go; and who came new where lately."""

    def __init__(self, limit: int, recent_us: int) -> None:
        self._tally = Table(1, limit)
        self._recent_us = recent_us
        self._since = Since()
        self._odds: tuple[Visits, tuple[Floats, Floats, Floats]] | None = None  # of a window, until it is learned
        self._adopted: Keys = np.empty(0, dtype=np.uint64)  # zones
        self._adopted_us: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def age_us(self, at_us: int) -> int:
        """How long this memory has watched."""
        return self._since.age_us(at_us)

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def knows(self, visits: Visits) -> Bools:
        """Pairs seen before."""
        return self._tally.knows(visits.pair)

    def windows(self, visits: Visits, rows: Ints) -> Floats:
        """In how many windows the principals of these pairs were seen."""
        return self._get(_ACTIVE, visits.principal[rows])

    def movers(self, visits: Visits, new: Ints, at_us: int) -> Floats:
        """How many other known principals came to the zone of each of the pairs `new`, lately or in this window.

        A scale-out spreads over zones: half of those of its kind that came new to a zone of the wider network count.
        """
        late = self._adopted[self._adopted_us > at_us - self._recent_us]
        zone, wide = visits.zone[new], visits.wide[new]
        near = _others(np.concatenate([late, zone]), zone) - 1
        _, first = np.unique(joined(0, visits.principal[new], wide), return_index=True)
        return np.maximum(near, (_others(np.concatenate([late, wide[first]]), wide) - 1) / _CROWD)

    def roams(self, visits: Visits, rows: Ints, users: int) -> Bools:
        """Pairs of a principal that changes zones all the time, in its own network, where others of its kind are.

        A pod runs where the scheduler puts it, be it for the first time.
        """
        principal = visits.principal[rows]
        own = self._tally.knows(joined(_WIDE, principal, visits.wide[rows]))
        pod: Bools = (visits.frame["kind"] == "pod").to_numpy()[rows]
        many: Bools = self._get(_ZONES, principal) >= _ROAMS
        crowd: Bools = self._get(_KIND_ZONE, visits.kind[rows], visits.zone[rows]) >= users
        return own & (many | pod) & crowd

    def followers(self, visits: Visits, rows: Ints, window: Window) -> Bools:
        """Which of these pairs are of a program that came to a wider network behind another one, in this window.

        To both it is a network that they never were in.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        abroad = ~self._tally.knows(joined(_WIDE, visits.principal[rows], visits.wide[rows]))
        asked = np.flatnonzero(abroad & (visits.frame["kind"] != "human").to_numpy()[rows])
        if len(asked) > 1:
            pairs = visits.frame[rows[asked]].select("principal", "zone")
            found[asked] = behind(pairs, networks(pairs["zone"]), window)
        return found

    def odds(self, visits: Visits) -> tuple[Floats, Floats, Floats]:
        """Per pair: the share of principals in the zone; mean and size of the principal's new zones in a window.

        The share is that of its kind: a network full of people is a strange one for a workload.
        """
        if self._odds is None or self._odds[0] is not visits:
            self._odds = visits, self._odds_of(visits)
        return self._odds[1]

    def _odds_of(self, visits: Visits) -> tuple[Floats, Floats, Floats]:
        everybody = np.maximum(self._get(_EVERYBODY, np.zeros_like(visits.zone)), 1.0)
        users, alike = self._get(_KIND_ZONE, visits.kind, visits.zone), self._get(_ALIKE, visits.kind)
        share = (users + _ANY_KIND * self._get(_ZONE, visits.zone) / everybody) / (alike + _ANY_KIND)
        share = np.clip(share, _FLOOR, 1.0)
        habit = (self._get(_KIND, visits.kind) + 0.5) / (self._get(_KIND_ACTIVE, visits.kind) + _BORROWED)
        shape = self._get(_NEW, visits.principal) + habit * _BORROWED
        windows = self._get(_ACTIVE, visits.principal)
        return share, shape / (windows + _BORROWED), np.minimum(shape, _BURSTY)

    def of_principal(self, visits: Visits, principal: str, names: pl.Series) -> tuple[int, Bools]:
        """How many zones a principal of the window has used, and which of `names` it has."""
        at = int(visits.frame["principal"].search_sorted(principal))
        key = visits.principal[at : at + 1]
        tried = joined(_PAIR, np.repeat(key, len(names)), keys_of(names))
        return int(self._get(_ZONES, key)[0]), self._tally.knows(tried)

    def learn(self, visits: Visits, known: Bools, moved: Ints, alone: Ints, at_us: int) -> None:
        """Add a closed window. `moved` pairs are new to a settled principal. Who moves in a crowd does not explore:
        only what is new to those `alone` is a habit."""
        self._since.begin(at_us)
        self._odds = None
        principal, first = visits.principal[visits.first], visits.first
        active = joined(_ACTIVE, principal)
        unmet = self._tally.get(active, 0)[:, 0] == 0
        self._add(at_us, _EVERYBODY, np.zeros_like(principal[unmet]))
        self._add(at_us, _ALIKE, visits.kind[first][unmet])
        self._tally.bump(active, at_us)
        self._add(at_us, _KIND_ACTIVE, visits.kind[first])
        new = ~known
        self._tally.put(visits.pair, np.ones((len(known), 1)), at_us)
        self._add(at_us, _ZONE, visits.zone[new])
        self._add(at_us, _KIND_ZONE, visits.kind[new], visits.zone[new])
        self._add(at_us, _ZONES, visits.principal[new])
        self._add(at_us, _NEW, visits.principal[alone])
        self._add(at_us, _KIND, visits.kind[alone])
        wide = unique(joined(_WIDE, visits.principal, visits.wide))
        self._tally.put(wide, np.ones((len(wide), 1)), at_us)
        _, one = np.unique(joined(0, visits.principal[moved], visits.wide[moved]), return_index=True)
        self._remember(np.concatenate([visits.zone[moved], visits.wide[moved][one]]), at_us)

    def _remember(self, zones: Keys, at_us: int) -> None:
        kept = self._adopted_us > at_us - self._recent_us
        self._adopted = np.concatenate([self._adopted[kept], zones])[-_RECENT:]
        self._adopted_us = np.concatenate([self._adopted_us[kept], np.full(len(zones), at_us)])[-_RECENT:]

    def _add(self, at_us: int, tag: int, *keys: Keys) -> None:
        self._tally.add(joined(tag, *keys), np.ones((len(keys[0]), 1)), at_us)

    def snapshot(self) -> Frames:
        """Tallies, the adoptions of the last day, of zones and wider networks (columns zone, at_us), and since when."""
        recent = pl.DataFrame({"zone": self._adopted.copy(), "at_us": self._adopted_us.copy()})
        return {"tally": self._tally.snapshot(), "recent": recent, "age": self._since.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["tally"])
        self._since.restore(frames["age"])
        self._adopted = frames["recent"]["zone"].to_numpy().astype(np.uint64)
        self._adopted_us = frames["recent"]["at_us"].to_numpy().astype(np.int64)


def _others(came: Keys, asked: Keys) -> Floats:
    """How often each of `asked` is in `came`."""
    if not len(came):
        return np.zeros(len(asked))
    distinct, count = np.unique(came, return_counts=True)
    at = np.minimum(np.searchsorted(distinct, asked), len(distinct) - 1)
    return np.where(distinct[at] == asked, count[at], 0).astype(np.float64)
