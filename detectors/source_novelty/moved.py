"""A token that goes to a second address, of somebody whose tokens stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined, keys_of, keys_of_texts
from detectors._people import People, methods_of, number_of, placed
from detectors._runs import begins, packed, unpacked
from detectors._usual import Bools, Floats
from detectors.source_novelty.overlap import spread

if TYPE_CHECKING:
    from pipeline.core.coded import Numbers
    from pipeline.core.model import Frames, Ints, Window

_MOVED, _HELD, _KIND, _KIND_HELD, _TOKEN, _BOTH, _KIND_BOTH, _LIKE = range(8)
_BORROWED: Final = 10.0  # tokens' worth of belief in the kind's habit
_FEWER: Final = 3  # this part of the tokens is enough to know that somebody's do not go to and fro
_KIND_BORROWED: Final = 50.0
_EXACT: Final = np.uint64((1 << 52) - 1)  # of an address's hash what a float holds exactly
_NOWHERE: Final = np.iinfo(np.uint32).max
_LAST, _FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Held:
    """Each token of a window, by principal in the order of names. Addresses are numbers above 0."""

    people: People
    who: Numbers  # of People
    number: Ints  # of the session among people.coded
    principal: Keys
    kind: Keys  # with how it logs in
    token: Keys
    first: Floats  # the address it came from first
    last: Floats  # and last
    zone: Numbers  # the number of the network it was last in
    only: Bools  # whether it came from no other
    both: Bools  # whether it was at the first again when it had been at the last

    @classmethod
    def of(cls, window: Window, hidden: list[str]) -> Held | None:
        """None when no token can be told. Networks `hidden` tell nothing."""
        people, rows = People.of(window), placed(window)
        rows = rows.filter(~pl.col("zone").is_in(hidden)) if hidden else rows
        if rows.is_empty():
            return None
        who, number, place = (rows[name].to_numpy() for name in ("who", number_of("session"), number_of("client_ip")))
        token = packed(who, number)
        order = np.argsort(token, kind="stable")
        token, at = token[order], begins(token[order])
        sessions, places = (keys_of_texts(people.coded[name].texts) for name in ("session", "client_ip"))
        address = (places & _EXACT)[place[order]]
        first, only = address[at], np.ones(len(at), dtype=np.bool_)
        if len(at) < len(token):
            only = np.maximum.reduceat(address, at) == np.minimum.reduceat(address, at)
        networks = rows[number_of("zone")].to_numpy()[order]
        last, zone, both = first, networks[at], np.zeros(len(at), dtype=np.bool_)
        if not only.all():
            each = np.repeat(np.arange(len(at)), np.diff(at, append=len(token)))
            first, last = _ends(rows[order], address, at, each)
            zone = np.minimum.reduceat(np.where(address == last[each], networks, _NOWHERE), at)
            some, renumbered = ~only[each], np.cumsum(~only) - 1
            both[~only] = spread(rows[order[some]], "client_ip", renumbered[each[some]], int((~only).sum()))[1]
        kind = np.maximum.reduceat(rows["type"].to_numpy()[order], at)
        who, number = who[order[at]], unpacked(token[at])[1].astype(np.int64)
        principal, like = people.keys[who], joined(_LIKE, people.kind_keys[kind], methods_of(window)[who])
        return cls(
            people, who, number, principal, like, joined(_TOKEN, principal, sessions[number]),
            first.astype(np.float64) + 1.0, last.astype(np.float64) + 1.0, zone, only, both,
        )  # fmt: skip

    def named(self, rows: Ints) -> pl.DataFrame:
        """Columns principal and session of some of them."""
        names, sessions = self.people.names, self.people.coded["session"].names
        return pl.DataFrame({"principal": names[self.who[rows]], "session": sessions.gather(self.number[rows])})


def _ends(rows: pl.DataFrame, address: Keys, at: Ints, each: Ints) -> tuple[Keys, Keys]:
    """Where each token was earliest and latest; of several at one time the smaller number."""
    ends = []
    for name, missing, end in (("time", _LAST, np.minimum), ("last_time", _FIRST, np.maximum)):
        time = rows[name].to_physical().fill_null(missing).to_numpy()
        there = time == end.reduceat(time, at)[each]
        ends.append(np.minimum.reduceat(np.where(there, address, _EXACT), at))
    return ends[0], ends[1]


def address_numbers(names: pl.Series) -> Floats:
    """The numbers of addresses, as Held has them."""
    return (keys_of(names) & _EXACT).astype(np.float64) + 1.0


class Moved:
    """Remembers where each token was last, and before that, and how often a principal's went elsewhere.

    32 bytes a token, 24 a tally, those not touched for longest go first.
    """

    def __init__(self, limit: int) -> None:
        self._tokens = Table(2, limit)  # the address it was at last, and the one it had come from there
        self._tally = Table(1, limit)

    def origin(self, held: Held) -> Floats:
        """Where each token was before: at the end of earlier windows, else at first in this one."""
        known = self._tokens.get(held.token, 0)[:, 0]
        return np.where(known > 0, known, held.first)

    def now(self, held: Held) -> Bools:
        """Tokens that come from another address than before."""
        now: Bools = ~held.only | (self.origin(held) != held.first)
        return now

    def both(self, held: Held) -> Bools:
        """Tokens in use at two addresses: to and fro within the window, or at one they had left in an earlier one."""
        left = self._tokens.get(held.token, 0)[:, 1]
        back: Bools = (left > 0) & ((held.first == left) | (held.last == left)) & self.now(held)
        return held.both | back

    def surprise(self, held: Held, rows: Ints, least: int) -> Floats:
        """-log10 of the chance that a token of this principal does; 0 where fewer than `least` of them are known.

        To be at both addresses is rarer than to go from one to the other, and needs fewer to be known for.
        """
        principal, kind, both = held.principal[rows], held.kind[rows], self.both(held)[rows]
        seen, of_kind = self._get(_HELD, principal), self._get(_KIND_HELD, kind)
        mine = np.where(both, self._get(_BOTH, principal), self._get(_MOVED, principal))
        alike = np.where(both, self._get(_KIND_BOTH, kind), self._get(_KIND, kind))
        habit = (alike + 0.5) / (of_kind + _KIND_BORROWED)
        chance = (mine + habit * _BORROWED) / (seen + _BORROWED)
        enough = seen >= np.where(both, least // _FEWER, least)
        return np.where(enough, _tails.surprise(np.minimum(chance, 1.0)), 0.0)

    def learn(self, held: Held, now: Bools, at_us: int) -> None:
        """Add a closed window. Those that move `now` do so by themselves: what many do at once is no habit."""
        fresh = ~self._tokens.knows(held.token)
        both = now & self.both(held)
        for rows, mine, all_of_kind in (
            (fresh, _HELD, _KIND_HELD), (now, _MOVED, _KIND), (both, _BOTH, _KIND_BOTH),
        ):  # fmt: skip
            keys = np.concatenate([joined(mine, held.principal[rows]), joined(all_of_kind, held.kind[rows])])
            self._tally.add(keys, np.ones((len(keys), 1)), at_us)
        self._tokens.put(held.token, np.column_stack([held.last, self._left(held)]), at_us)

    def _left(self, held: Held) -> Floats:
        """The address each token left when it went to where it is now; 0 if it never did."""
        known = self._tokens.get(held.token, 0)
        moved = (known[:, 0] > 0) & (known[:, 0] != held.last)
        within = np.where(held.first != held.last, held.first, known[:, 1])
        return np.where(moved, known[:, 0], within)

    def _get(self, tag: int, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, keys), 0)[:, 0])

    def snapshot(self) -> Frames:
        """Frames tokens.held and tokens.moved."""
        return {"tokens.held": self._tokens.snapshot(), "tokens.moved": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot, maybe one from before there was this memory."""
        if "tokens.held" not in frames:
            return
        held = frames["tokens.held"]
        self._tokens.restore(held if "v1" in held.columns else held.with_columns(v1=pl.lit(0.0)))
        self._tally.restore(frames["tokens.moved"])
