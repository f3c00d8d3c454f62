"""Which principal uses which network zone: tallies by hashed key in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._groups import networks, of_the_internet
from detectors._memory import Keys, Table, joined, keys_of, unique
from detectors._people import People
from detectors._runs import begins
from detectors._since import Since
from detectors._turns import behind
from detectors._usual import Bools, Floats

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Ints, Window

_PAIR, _EVERYBODY, _ZONE, _ZONES, _ACTIVE, _NEW, _KIND, _KIND_ACTIVE, _KIND_ZONE, _ALIKE, _WIDE = range(11)
_SITE, _ABROAD, _KIND_ABROAD, _NEAR, _KIND_NEAR, _CAME, _SITE_USERS, _GLANCED = range(11, 19)
_FLOOR: Final = 1e-3
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of moving
_BURSTY: Final = 3.0
_ANY_KIND: Final = 10.0  # principals' worth of belief in the zone's users of any kind
_CROWD: Final = 2.0  # times as many movers make a move within the wider network
SECOND: Final = 1.0  # on the surprise of a wider network that is new to somebody
_NONE_THERE: Final = 1.0  # and where it is new to every pod
_LOOKED: Final = 0.5  # remembered of a pair that was judged and took nothing so far; 1 of the others
NODE: Final = 0.01  # the least that a node of its own cluster counts as used: clusters grow
COMMON: Final = 0.03  # of its kind use a network that is nobody's in particular
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
    outside: Bools  # from an address of the internet
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
        outside = of_the_internet(zones).to_numpy()[at]
        who = pairs.keys
        first = begins(who)
        wider = joined(0, pairs.kinds, wider)
        return cls(pairs.frame, joined(_PAIR, who, zone), who, zone, pairs.kinds, wider, outside, first)


class Zones:
    """Tallies that only grow, past `limit` those not touched for longest go; and who came new where lately."""

    def __init__(self, limit: int, recent_us: int, settle_us: int) -> None:
        self._tally = Table(1, limit)
        self._settle_us = settle_us
        self._recent_us = recent_us
        self._since, self._sites_since = Since(), Since()
        self._shares: tuple[Visits, Floats] | None = None  # of a window, until it is learned
        self._adopted: Keys = np.empty(0, dtype=np.uint64)  # zones
        self._adopted_us: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def age_us(self, at_us: int) -> int:
        """How long this memory has watched."""
        return self._since.age_us(at_us)

    def sites_known(self, at_us: int) -> bool:
        """Whether it has watched for long enough which wider networks there are."""
        return self._sites_since.age_us(at_us) >= self._settle_us

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def seen(self, visits: Visits) -> tuple[Bools, Bools]:
        """Pairs seen before; and those of them that were judged, and took nothing so far."""
        value = self._tally.get(visits.pair, 0)[:, 0]
        return value > 0, (value > 0) & (value < 1)

    def abroad(self, visits: Visits, rows: Ints) -> Bools:
        """Which of these pairs are in a wider network that their principal never was in."""
        return ~self._tally.knows(joined(_WIDE, visits.principal[rows], visits.wide[rows]))

    def on_nodes(self, visits: Visits, rows: Ints) -> Bools:
        """Which of these pairs are of pods on another node of their cluster: a wider network where they were."""
        return np.asarray((visits.frame["kind"] == "pod").to_numpy()[rows] & ~self.abroad(visits, rows))

    def foreign(self, visits: Visits, rows: Ints) -> Bools:
        """Which of these pairs are in a wider network that nobody of their kind ever was in."""
        return ~self._tally.knows(joined(_SITE, visits.wide[rows]))

    def frequented(self, visits: Visits, rows: Ints) -> Bools:
        """Which of these pairs are of people in a wider network that many of them use: a town's homes, a provider's."""
        users = self._get(_SITE_USERS, visits.wide[rows]) / np.maximum(self._get(_ALIKE, visits.kind[rows]), 1.0)
        return np.asarray((users >= COMMON) & (visits.frame["kind"] == "human").to_numpy()[rows])

    def glances(self, visits: Visits, rows: Ints) -> Floats:
        """In how many windows the principals of these pairs came to new networks and took nothing there."""
        return self._get(_GLANCED, visits.principal[rows])

    def windows(self, visits: Visits, rows: Ints) -> Floats:
        """In how many windows the principals of these pairs were seen."""
        return self._get(_ACTIVE, visits.principal[rows])

    def windows_of_kind(self, visits: Visits, rows: Ints) -> Floats:
        """The windows of all principals of the kinds of these pairs together."""
        return self._get(_KIND_ACTIVE, visits.kind[rows])

    def movers(self, visits: Visits, new: Ints, at_us: int) -> Floats:
        """How many other known principals came to the zone of each of the pairs `new`, lately or in this window.

        A scale-out spreads over zones: half of those of its kind that came new to a zone of the wider network count.
        To whom all of that network is new, those who were in it before and move about there say nothing.
        """
        count = self._company(visits, new, at_us)
        abroad = self.abroad(visits, new)
        count[abroad] = self._company(visits, new[abroad], at_us, _CAME)
        return count

    def _company(self, visits: Visits, new: Ints, at_us: int, tag: int | None = None) -> Floats:
        zones, wide = self._places(visits, new, tag)
        _, first = np.unique(joined(0, visits.principal[new], wide), return_index=True)
        late = self._adopted[self._adopted_us > at_us - self._recent_us]
        itself = 1.0 + self.seen(visits)[1][new]  # what is judged again came before, too
        near = _others(np.concatenate([late, zones]), zones) - itself
        return np.maximum(near, (_others(np.concatenate([late, wide[first]]), wide) - itself) / _CROWD)

    @staticmethod
    def _places(visits: Visits, rows: Ints, tag: int | None) -> tuple[Keys, Keys]:
        """Zones and wider networks, under a tag of their own for those to whom the wider network is new."""
        zone, wide = visits.zone[rows], visits.wide[rows]
        return (zone, wide) if tag is None else (joined(tag, zone), joined(tag, wide))

    def roams(self, visits: Visits, rows: Ints, users: int) -> Bools:
        """Pairs of a principal that changes zones all the time, in its own network, where others of its kind are.

        A pod runs where the scheduler puts it, be it for the first time.
        """
        principal = visits.principal[rows]
        own = ~self.abroad(visits, rows)
        pod: Bools = (visits.frame["kind"] == "pod").to_numpy()[rows]
        many: Bools = self._get(_ZONES, principal) >= _ROAMS
        crowd: Bools = self._get(_KIND_ZONE, visits.kind[rows], visits.zone[rows]) >= users
        return own & (many | pod) & crowd

    def followers(self, visits: Visits, rows: Ints, window: Window) -> Bools:
        """Which of these pairs are of a program that came to a wider network behind another one, in this window.

        To both it is a network that they never were in.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        asked = np.flatnonzero(self.abroad(visits, rows) & (visits.frame["kind"] != "human").to_numpy()[rows])
        if len(asked) > 1:
            pairs = visits.frame[rows[asked]].select("principal", "zone")
            found[asked] = behind(pairs, networks(pairs["zone"]), window)
        return found

    def shares(self, visits: Visits) -> Floats:
        """Per pair the share of principals in the zone.

        It is that of its kind: a network full of people is a strange one for a workload.
        """
        if self._shares is None or self._shares[0] is not visits:
            everybody = np.maximum(self._get(_EVERYBODY, np.zeros_like(visits.zone)), 1.0)
            users, alike = self._get(_KIND_ZONE, visits.kind, visits.zone), self._get(_ALIKE, visits.kind)
            share = (users + _ANY_KIND * self._get(_ZONE, visits.zone) / everybody) / (alike + _ANY_KIND)
            self._shares = visits, np.clip(share, _FLOOR, 1.0)
        return self._shares[1]

    def moving(self, visits: Visits, rows: Ints, nodes: Bools) -> tuple[Floats, Floats]:
        """Mean and size of the number of new zones that the principals of these pairs have in a window.

        A pod that comes new to a node of its own cluster (`nodes`) does as pods do, with others or by themselves.
        """
        mean = self._rate(visits, rows, _NEW, _KIND)
        size = np.minimum(mean * (self._get(_ACTIVE, visits.principal[rows]) + _BORROWED), _BURSTY)
        return np.where(nodes, np.maximum(mean, self._rate(visits, rows, _NEAR, _KIND_NEAR)), mean), size

    def strange(self, visits: Visits, rows: Ints, at_us: int) -> Floats:
        """Surprise of a wider network that is new to the principals of these pairs.

        0 where it is not, and where a person comes to where many are. A pod where none ever was is further off.
        """
        people, pods = ((visits.frame["kind"] == kind).to_numpy()[rows] for kind in ("human", "pod"))
        common = (self.shares(visits)[rows] >= COMMON) | self.frequented(visits, rows)
        odd = self.abroad(visits, rows) & ~(people & common)
        known = min(self._sites_since.age_us(at_us) / max(self._since.age_us(at_us), 1), 1.0)
        chance = self._rate(visits, rows, _ABROAD, _KIND_ABROAD, known)
        surprise = SECOND + _NONE_THERE * (self.foreign(visits, rows) & pods) - np.log10(np.minimum(chance, 1.0))
        return np.where(odd & self.sites_known(at_us), surprise, 0.0)

    def _rate(self, visits: Visits, rows: Ints, own: int, of_kind: int, known: float = 1.0) -> Floats:
        """How often in a window, of the principals of these pairs, with their kind's habit as prior.

        It was counted in the `known` share of their windows.
        """
        principal, kind = visits.principal[rows], visits.kind[rows]
        habit = (self._get(of_kind, kind) + 0.5) / (known * self._get(_KIND_ACTIVE, kind) + _BORROWED)
        shape = self._get(own, principal) + habit * _BORROWED
        return shape / (known * self._get(_ACTIVE, principal) + _BORROWED)

    def of_principal(self, visits: Visits, principal: str, names: pl.Series) -> tuple[int, Bools]:
        """How many zones a principal of the window has used, and which of `names` it has."""
        at = int(visits.frame["principal"].search_sorted(principal))
        key = visits.principal[at : at + 1]
        tried = joined(_PAIR, np.repeat(key, len(names)), keys_of(names))
        return int(self._get(_ZONES, key)[0]), self._tally.knows(tried)

    def learn(self, visits: Visits, moves: tuple[Ints, Ints], looked: Bools, at_us: int) -> None:
        """Add a closed window. `moves` are pairs new to a settled principal, and those of them that are its own doing:
        who moves in a crowd does not explore, so these alone are a habit. Of pairs that `looked` (judged, and nothing
        was taken so far) nothing else is learned: they are new when they take something."""
        met, before = self.seen(visits)
        new = (~met | before) & ~looked
        self._since.begin(at_us)
        self._sites_since.begin(at_us)
        principal, first = visits.principal[visits.first], visits.first
        active = joined(_ACTIVE, principal)
        unmet = self._tally.get(active, 0)[:, 0] == 0
        self._learn_moves(visits, tuple(rows[new[rows]] for rows in moves), at_us)
        self._add(at_us, _GLANCED, unique(visits.principal[moves[1]][(looked & ~met)[moves[1]]]))
        self._shares = None
        self._remember(visits, moves[0][~met[moves[0]]], at_us)
        self._add(at_us, _EVERYBODY, np.zeros_like(principal[unmet]))
        self._add(at_us, _ALIKE, visits.kind[first][unmet])
        self._tally.bump(active, at_us)
        self._add(at_us, _KIND_ACTIVE, visits.kind[first])
        self._tally.put(visits.pair, np.where(looked, _LOOKED, 1.0)[:, None], at_us)
        self._add(at_us, _ZONE, visits.zone[new])
        self._add(at_us, _KIND_ZONE, visits.kind[new], visits.zone[new])
        self._add(at_us, _ZONES, visits.principal[new])
        # Who was never met before teaches nobody where its kind comes from, once that is known.
        met_before = np.repeat(~unmet, np.diff(first, append=len(visits.zone))) | (not self.sites_known(at_us))
        wide = joined(_WIDE, visits.principal[~looked], visits.wide[~looked])
        came = np.flatnonzero(~self._tally.knows(wide))
        came = came[np.unique(wide[came], return_index=True)[1]]
        self._add(at_us, _SITE_USERS, visits.wide[~looked][came])
        sites = joined(_SITE, visits.wide[~looked & met_before])
        places = unique(np.concatenate([wide, sites]))
        self._tally.put(places, np.ones((len(places), 1)), at_us)

    def practise(self, visits: Visits, rows: Ints, at_us: int) -> None:
        """Count these pairs, just learned, as their principals' moves, and not as their kinds'."""
        self._add(at_us, _NEW, visits.principal[rows])

    def _learn_moves(self, visits: Visits, moves: tuple[Ints, ...], at_us: int) -> None:
        """Habits of moving."""
        moved, alone = moves
        if not len(moved):
            return
        for rows, mine, all_of_kind in (
            (alone, _NEW, _KIND),
            (alone[self.abroad(visits, alone)], _ABROAD, _KIND_ABROAD),
            (moved[~self.abroad(visits, moved)], _NEAR, _KIND_NEAR),
        ):
            self._add(at_us, mine, visits.principal[rows])
            self._add(at_us, all_of_kind, visits.kind[rows])

    def _remember(self, visits: Visits, came: Ints, at_us: int) -> None:
        """Who came where."""
        new = []
        for rows, tag in ((came, None), (came[self.abroad(visits, came)], _CAME)):
            zones, wide = self._places(visits, rows, tag)
            _, one = np.unique(joined(0, visits.principal[rows], wide), return_index=True)
            new += [zones, wide[one]]
        zones, kept = np.concatenate(new), self._adopted_us > at_us - self._recent_us
        self._adopted = np.concatenate([self._adopted[kept], zones])[-_RECENT:]
        self._adopted_us = np.concatenate([self._adopted_us[kept], np.full(len(zones), at_us)])[-_RECENT:]

    def _add(self, at_us: int, tag: int, *keys: Keys) -> None:
        self._tally.add(joined(tag, *keys), np.ones((len(keys[0]), 1)), at_us)

    def snapshot(self) -> Frames:
        """Tallies; the adoptions of the last day, of zones and wider networks (columns zone, at_us); since when, and
        since when wider networks are known."""
        recent = pl.DataFrame({"zone": self._adopted.copy(), "at_us": self._adopted_us.copy()})
        ages = {"age": self._since.snapshot(), "sites.age": self._sites_since.snapshot()}
        return {"tally": self._tally.snapshot(), "recent": recent, **ages}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before wider networks were remembered."""
        self._tally.restore(frames["tally"])
        self._since.restore(frames["age"])
        if "sites.age" in frames:
            self._sites_since.restore(frames["sites.age"])
        self._adopted = frames["recent"]["zone"].to_numpy().astype(np.uint64)
        self._adopted_us = frames["recent"]["at_us"].to_numpy().astype(np.int64)


def _others(came: Keys, asked: Keys) -> Floats:
    """How often each of `asked` is in `came`."""
    if not len(came):
        return np.zeros(len(asked))
    distinct, count = np.unique(came, return_counts=True)
    at = np.minimum(np.searchsorted(distinct, asked), len(distinct) - 1)
    return np.where(distinct[at] == asked, count[at], 0).astype(np.float64)
