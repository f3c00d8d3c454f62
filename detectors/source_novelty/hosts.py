"""Programs that stay on their machines, and one that comes from another machine of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of_texts
from detectors._people import People, number_of
from detectors._runs import begins
from detectors._usual import Bools, Floats

if TYPE_CHECKING:
    from pipeline.core.coded import Numbers
    from pipeline.core.model import Frames, Ints, Window

_PAIR, _ACTIVE, _NEW, _KIND, _KIND_ACTIVE = range(5)
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of moving
_BURSTY: Final = 3.0
_DEPLOYED: Final = 3  # new machines of one program in one window
_AWAY: Final = ("human", "pod")  # people go about, and pods are put where there is room
_WORD, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Stays:
    """The (program, address) pairs of a window; by program in the order of names."""

    people: People
    who: Numbers  # of People
    number: Ints  # of the address among people.coded
    pair: Keys
    principal: Keys  # of each pair
    kind: Keys
    first: Ints  # the first pair of each program

    @classmethod
    def of(cls, window: Window) -> Stays | None:
        """None when there is no pair."""
        people = People.of(window)
        away = np.isin(people.kinds.to_numpy(), _AWAY)
        kind, address = people.rows["type"].to_numpy(), people.coded["client_ip"]
        number = people.rows[number_of("client_ip")].to_numpy()
        told = np.append((address.names != "").to_numpy(), False)  # the last: null
        mine = np.flatnonzero(~away[kind] & told[np.minimum(number, len(address.names))])
        if not len(mine):
            return None
        pairs = (people.rows["who"].to_numpy()[mine].astype(np.uint64) << _WORD) | number[mine]
        order = np.argsort(pairs, kind="stable")
        at = order[begins(pairs[order])]
        who, number = (pairs[at] >> _WORD).astype(np.uint32), (pairs[at] & _LOW).astype(np.int64)
        principal = people.keys[who]
        pair = joined(_PAIR, principal, keys_of_texts(address.texts)[number])
        return cls(people, who, number, pair, principal, people.kind_keys[kind[mine[at]]], begins(who))

    def address(self, pair: int) -> str:
        """Of one of the pairs."""
        name: str = self.people.coded["client_ip"].names[int(self.number[pair])]
        return name


class Hosts:
    """Remembers which address each program used, and how often one is new to a program that is known: 24 bytes each."""

    def __init__(self, limit: int, least: int) -> None:
        self._tally = Table(1, limit)
        self._least = least

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def seen(self, window: Window) -> tuple[Stays, Bools] | None:
        """The pairs of a window, and which are new to a program seen in `least` windows or more."""
        stays = Stays.of(window)
        if stays is None:
            return None
        fresh: Bools = ~self._tally.knows(stays.pair)
        some = np.flatnonzero(fresh)
        fresh[some] = self._get(_ACTIVE, stays.principal[some]) >= self._least
        return stays, fresh

    def surprise(self, stays: Stays, new: Bools) -> tuple[Ints, Floats]:
        """The first new pair of each program that has one, and -log10 of the chance of so many in a window.

        Who comes from many new machines at once was deployed: 0.
        """
        rows = np.flatnonzero(new)
        at = begins(stays.who[rows])
        count = np.diff(at, append=len(rows)).astype(np.float64)
        first = rows[at]
        principal, kind = stays.principal[first], stays.kind[first]
        habit = (self._get(_KIND, kind) + 0.5) / (self._get(_KIND_ACTIVE, kind) + _BORROWED)
        shape = self._get(_NEW, principal) + habit * _BORROWED
        mean = shape / (self._get(_ACTIVE, principal) + _BORROWED)
        odd = _tails.surprise(_tails.upper(count, mean, np.minimum(shape, _BURSTY)))
        return first, np.where(count < _DEPLOYED, odd, 0.0)

    def learn(self, stays: Stays, new: Bools, at_us: int) -> None:
        """Add a closed window."""
        self._tally.put(stays.pair, np.ones((len(stays.pair), 1)), at_us)
        parts = (
            joined(_ACTIVE, stays.principal[stays.first]), joined(_KIND_ACTIVE, stays.kind[stays.first]),
            joined(_NEW, stays.principal[new]), joined(_KIND, stays.kind[new]),
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
