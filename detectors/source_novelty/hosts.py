"""Programs that stay on their machines, and one that comes from another machine of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of_texts
from detectors._people import People, methods_of, number_of
from detectors._runs import begins, packed, unpacked
from detectors._text import several, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, values_in
from detectors.source_novelty.crowd import crowded

if TYPE_CHECKING:
    from pipeline.core.coded import Numbers
    from pipeline.core.model import Frames, Ints, Window

_PAIR, _ACTIVE, _NEW, _KIND, _KIND_ACTIVE, _LIKE = range(6)
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of moving
_BURSTY: Final = 3.0
_DEPLOYED: Final = 3  # new machines of one program in one window
_AWAY: Final = ("human", "pod")  # people go about, and pods are put where there is room


@dataclass(frozen=True, slots=True)
class Stays:
    """The (program, address) pairs of a window; by program in the order of names."""

    people: People
    who: Numbers  # of People
    number: Ints  # of the address among people.coded
    pair: Keys
    principal: Keys  # of each pair
    kind: Keys  # with how it logs in: builds have other habits than services on machines of their own
    zone: Numbers  # the number of the network of each pair
    first: Ints  # the first pair of each program

    @classmethod
    def of(cls, window: Window, hidden: list[str]) -> Stays | None:
        """None when there is no pair. Networks `hidden` tell nothing."""
        people = People.of(window)
        away = np.isin(people.kinds.to_numpy(), _AWAY)
        kind, address = people.rows["type"].to_numpy(), people.coded["client_ip"]
        number = people.rows[number_of("client_ip")].to_numpy()
        told = np.append((address.names != "").to_numpy(), False)  # the last: null
        asked = ~away[kind] & told[np.minimum(number, len(address.names))]
        if hidden:
            asked &= ~people.rows["zone"].is_in(hidden).fill_null(value=False).to_numpy()
        mine = np.flatnonzero(asked)
        if not len(mine):
            return None
        pairs = packed(people.rows["who"].to_numpy()[mine], number[mine])
        order = np.argsort(pairs, kind="stable")
        ordered, kind, zone = pairs[order], kind[mine][order], people.rows[number_of("zone")].to_numpy()[mine][order]
        at = begins(ordered)
        high, low = unpacked(ordered[at])
        who, number = high.astype(np.uint32), low.astype(np.int64)
        first = begins(who)
        greatest = np.maximum.reduceat(kind, at[first])  # of a program's kinds
        its = joined(
            _LIKE, people.kind_keys[np.repeat(greatest, np.diff(first, append=len(who)))], methods_of(window)[who]
        )
        principal = people.keys[who]
        return cls(people, who, number, joined(_PAIR, principal, keys_of_texts(address.texts)[number]), principal,
                   its, np.minimum.reduceat(zone, at), first)  # fmt: skip

    def named(self, rows: Ints) -> pl.DataFrame:
        """Columns principal and client_ip of some of the pairs."""
        address = self.people.coded["client_ip"].names.gather(self.number[rows])
        return pl.DataFrame([self.people.names[self.who[rows]].alias("principal"), address.alias("client_ip")])


class Hosts:
    """Remembers which address each program used, and how often one is new to a program that is known: 24 bytes each."""

    def __init__(self, limit: int, least: int, movers: int) -> None:
        self._tally = Table(1, limit)
        self._least, self._movers = least, movers

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def seen(self, window: Window, hidden: list[str]) -> tuple[Stays, Bools] | None:
        """The pairs of a window, and which are new to a program seen in `least` windows or more.

        None while a look says little: who goes with others is known when the hour is over.
        """
        stays = None if window.looked_us is not None else Stays.of(window, hidden)
        if stays is None:
            return None
        fresh: Bools = ~self._tally.knows(stays.pair)
        some = np.flatnonzero(fresh)
        fresh[some] = self._get(_ACTIVE, stays.principal[some]) >= self._least
        return stays, fresh

    def _surprise(self, stays: Stays, rows: Ints) -> Floats:
        """For each of the new pairs -log10 of the chance of so many in a window as its program has.

        Who comes from many new machines at once was deployed: 0.
        """
        at = begins(stays.who[rows])
        count = np.diff(at, append=len(rows))
        principal, kind = stays.principal[rows[at]], stays.kind[rows[at]]
        habit = (self._get(_KIND, kind) + 0.5) / (self._get(_KIND_ACTIVE, kind) + _BORROWED)
        shape = self._get(_NEW, principal) + habit * _BORROWED
        mean = shape / (self._get(_ACTIVE, principal) + _BORROWED)
        odd = _tails.surprise(_tails.upper(count.astype(np.float64), mean, np.minimum(shape, _BURSTY)))
        return np.repeat(np.where(count < _DEPLOYED, odd, 0.0), count)

    def judged(self, stays: Stays, new: Bools) -> tuple[Ints, Floats, Bools]:
        """The new pairs, their surprise, and which of their programs go with others."""
        rows = np.flatnonzero(new)
        surprise = self._surprise(stays, rows)
        crowd = crowded(stays.who[rows], stays.zone[rows], surprise, self._movers)
        return rows, surprise, np.isin(stays.who[rows], stays.who[rows[crowd]])

    def learn(self, stays: Stays, new: Bools, at_us: int) -> None:
        """Add a closed window; what many do at once is no habit."""
        rows, _, crowd = self.judged(stays, new)
        habit = rows[~crowd]
        self._tally.put(stays.pair, np.ones((len(stays.pair), 1)), at_us)
        parts = (
            joined(_ACTIVE, stays.principal[stays.first]), joined(_KIND_ACTIVE, stays.kind[stays.first]),
            joined(_NEW, stays.principal[habit]), joined(_KIND, stays.kind[habit]),
        )  # fmt: skip
        keys = np.concatenate(parts)
        self._tally.add(keys, np.ones((len(keys), 1)), at_us)

    def snapshot(self) -> Frames:
        """Frame hosts."""
        return {"hosts": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before there was this memory."""
        if "hosts" in frames:
            self._tally.restore(frames["hosts"])


def machine(one: dict[str, Any], rows: pl.DataFrame) -> Found:
    """The finding; `rows` are the program's WINDOW rows from there."""
    principal, surprise = one["principal"], one["surprise"]
    values = values_in(rows)
    places = several(rows["client_ip"].unique().sort().to_list())
    return Found(
        key=principal,
        cause="machine_new",
        title="Comes from a machine new to it",
        severity="medium" if values else "low",
        confidence=0.6,
        score=_tails.score(surprise),
        message=f"{show(principal)} came from {places} for the first time, reading {values} values. It knows that"
        " network, and stays on its machines.",
        observed="a new address in a network that it uses",
        expected="the addresses it had, as with its kind",
        next_step="Ask the owner whether the workload moved, or got another machine. If not: revoke its tokens and"
        " its log-in credential (secret-id, key), then look at what was read from there (view operations).",
        principal=principal,
        **seen_in(rows),
    )
