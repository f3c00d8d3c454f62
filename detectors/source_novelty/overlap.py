"""One session in two networks within a window: roaming for some principals, a stolen token for most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, Table, joined
from detectors._people import People, number_of, placed
from detectors._runs import begins, packed, unpacked
from detectors._usual import Bools, Floats

if TYPE_CHECKING:
    from pipeline.core.coded import Coded
    from pipeline.core.model import Frames, Ints, Window

_SPLIT, _ACTIVE, _KIND, _KIND_ACTIVE = range(4)
_BORROWED: Final = 50.0
_INTERLEAVED: Final = 2.0  # surprise added when the session went back and forth instead of moving once
_LAST, _FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Sessions:
    """Per principal the widest of its sessions; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, kind, zones, interleaved, session; in the order of names
    principal: Keys
    kind: Keys

    @classmethod
    def of(cls, window: Window) -> Sessions | None:
        """None when no session can be told."""
        people = People.of(window)
        rows = placed(window)
        if rows.is_empty():
            return None
        frame = _widest(rows, people.coded["session"])
        each = people.named(frame)
        return cls(each.frame, each.keys, each.kinds)


def _widest(rows: pl.DataFrame, coded: Coded) -> pl.DataFrame:
    """Columns who, type, zones, interleaved and session of rows of People, by who."""
    who, number = (rows[name].to_numpy() for name in ("who", number_of("session")))
    sessions, each = np.unique(packed(who, number), return_inverse=True)
    zones, interleaved = spread(rows, "zone", each, len(sessions))
    kind = np.zeros(len(sessions), np.uint32)
    np.maximum.at(kind, each, rows["type"].to_numpy())
    who, number = (part.astype(np.int64) for part in unpacked(sessions))
    first = begins(who)
    if len(first) < len(who):  # of a principal's sessions one that went back and forth, the one in most zones, by name
        first = np.lexsort((coded.ranks[number], -zones, ~interleaved, who))[first]
    return pl.DataFrame(
        {
            "who": who[first].astype(np.uint32),
            "type": kind[first],
            "zones": zones[first].astype(np.uint32),
            "interleaved": interleaved[first],
            "session": coded.names.gather(number[first]),
        }
    )


def spread(rows: pl.DataFrame, column: str, session: Ints, sessions: int) -> tuple[Ints, Bools]:
    """In how many places each session was, and whether it was in the first one again when it had been in the last.

    Places are those of `column` (zone, client_ip); `session` is the number of each row's.
    """
    there = packed(session, rows[number_of(column)].to_numpy())
    order = np.argsort(there)
    there = there[order]
    pairs = begins(there)
    places = np.bincount(unpacked(there[pairs])[0].astype(np.int64), minlength=sessions)
    if (places == 1).all():
        return places, np.zeros(sessions, dtype=np.bool_)
    came = np.minimum.reduceat(rows["time"].to_physical().fill_null(_LAST).to_numpy()[order], pairs)
    left = np.maximum.reduceat(rows["last_time"].to_physical().fill_null(_FIRST).to_numpy()[order], pairs)
    first = np.cumsum(places) - places
    interleaved: Bools = np.maximum.reduceat(came, first) < np.minimum.reduceat(left, first)
    return places, interleaved & (places > 1)


class Overlap:
    """Remembers in how many windows a principal had a session in more than one zone."""

    def __init__(self, limit: int) -> None:
        self._tally = Table(1, limit)

    def _get(self, tag: int, keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, keys), 0)[:, 0])

    def surprise(self, sessions: Sessions, windows: int) -> Floats:
        """-log10 of the chance of such a session; 0 for one zone, and for principals seen in fewer windows."""
        out = np.zeros(len(sessions.principal))
        split = np.flatnonzero((sessions.frame["zones"] > 1).to_numpy())
        principal, kind = sessions.principal[split], sessions.kind[split]
        seen = self._get(_ACTIVE, principal)
        habit = (self._get(_KIND, kind) + 0.5) / (self._get(_KIND_ACTIVE, kind) + _BORROWED)
        chance = (self._get(_SPLIT, principal) + habit * _BORROWED) / (seen + _BORROWED)
        back = sessions.frame["interleaved"].to_numpy()[split]
        told = _tails.surprise(np.minimum(chance, 1.0)) + _INTERLEAVED * back
        out[split] = np.where(seen >= windows, told, 0.0)
        return out

    def learn(self, sessions: Sessions, at_us: int) -> None:
        """Add a closed window."""
        split = (sessions.frame["zones"] > 1).to_numpy()
        for keys, kinds, tags in (
            (sessions.principal, sessions.kind, (_ACTIVE, _KIND_ACTIVE)),
            (sessions.principal[split], sessions.kind[split], (_SPLIT, _KIND)),
        ):
            self._tally.bump(joined(tags[0], keys), at_us)
            self._tally.add(joined(tags[1], kinds), np.ones((len(kinds), 1)), at_us)

    def snapshot(self) -> Frames:
        """The tallies."""
        return {"overlap": self._tally.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["overlap"])
