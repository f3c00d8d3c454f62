"""When a window that is still open is worth a look: somebody did far more in it than he ever did in a whole one.

What is counted per principal is cheap: operations, different secrets, refusals; and per client address the log-ins that
were refused, with the accounts they tried, since one who guesses is somebody else each time. A detector that looks
early judges the same window again when it is over. Names are kept as 64-bit keys: that two share one is a chance of
n²/2⁶⁵, and would cost a look too many or too few.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.baselines.hashing import U64, hash_texts, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.core.model import Frames

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

_FACTOR: Final = 1.5  # times the most that a principal had in one window
_LEAST: Final = np.array([40.0, 10.0, 8.0])  # operations, different secrets, refusals
_FADE: Final = 0.999  # of a peak, by the window: a month halves it
_KEPT: Final = 100_000  # principals; past it those not seen for longest go
_COUNTS: Final = ("n", "secrets", "refused")
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_NONE: Final = np.uint64(0)
_REFUSED_LOGIN: Final = (pl.col("operation") == "auth") & (pl.col("outcome") == "denied") & (pl.col("client_ip") != "")
_ACCOUNT: Final = pl.when(pl.col("principal") != "anonymous").then("principal").otherwise("path")


@dataclass(frozen=True, slots=True)
class Seen:
    """Of each operation: its principal, principal and secret together (0: no secret), and whether it was refused.

    Of refused log-ins (elsewhere 0) also the address, and address and account together.
    """

    who: U64
    edge: U64
    refused: Bools
    door: U64
    tried: U64

    def __len__(self) -> int:
        return len(self.who)

    def __getitem__(self, rows: slice) -> Seen:
        return Seen(*(getattr(self, name)[rows] for name in _COLUMNS))

    @classmethod
    def of(cls, operations: pl.DataFrame) -> Seen:
        """From OPERATION rows."""
        who, secrets = _keys(operations["principal"]), operations["secret"]
        named = (secrets != "").fill_null(value=False).to_numpy()
        edge = np.where(named, mix(who * _ODD + _keys(secrets)), _NONE)
        refused = (operations["outcome"] == "denied").fill_null(value=False).to_numpy()
        return cls(who, edge, refused, *_doors(operations))

    @classmethod
    def all(cls, parts: Sequence[Seen]) -> Seen:
        """One after another."""
        if not parts:
            none = np.empty(0, np.uint64)
            return cls(none, none, np.empty(0, np.bool_), none, none)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))

    def with_doors(self) -> tuple[U64, U64, Bools]:
        """Who, edge, refused: of every operation, and of every refused log-in once more, as its address's."""
        at = np.flatnonzero(self.door)
        if not len(at):
            return self.who, self.edge, self.refused
        who, edge = np.concatenate([self.who, self.door[at]]), np.concatenate([self.edge, self.tried[at]])
        return who, edge, np.concatenate([self.refused, np.ones(len(at), np.bool_)])

    def frame(self) -> pl.DataFrame:
        """For a snapshot: a column for each array."""
        return pl.DataFrame({name: getattr(self, name) for name in _COLUMNS})

    @classmethod
    def restored(cls, frame: pl.DataFrame) -> Seen:
        """Of `frame`."""
        return cls(*(frame[name].to_numpy() for name in _COLUMNS))


_COLUMNS: Final = tuple(field.name for field in fields(Seen))


def _doors(operations: pl.DataFrame) -> tuple[U64, U64]:
    """`door` and `tried` of Seen."""
    door, tried = np.zeros(len(operations), np.uint64), np.zeros(len(operations), np.uint64)
    rows = operations.select(_REFUSED_LOGIN.arg_true()).to_series().to_numpy()
    if len(rows):
        few = operations[rows]
        door[rows] = mix(_keys(few["client_ip"]) + _ODD)
        tried[rows] = mix(door[rows] * _ODD + _keys(few.select(_ACCOUNT).to_series()))
    return door, tried


def _keys(names: pl.Series) -> U64:
    """A key for each name; null counts as empty."""
    coded = names.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    found: U64 = hash_texts(coded.dictionary)[coded.indices.to_numpy()]
    return found


class Looks:
    """Peaks of closed windows, counts of the open one, and how far above its peak each principal was looked at."""

    def __init__(self) -> None:
        self._past, self._peaks = np.empty(0, np.uint64), np.empty((0, 3))  # keys ascend, here and below
        self._last: Ints = np.empty(0, np.int64)  # the window each was seen in last
        self._closed = 0
        self._clear()

    def _clear(self) -> None:
        self._who, self._counts = np.empty(0, np.uint64), np.empty((0, 3), np.int64)
        self._levels: Ints = np.empty(0, np.int64)  # doublings that were told, -1: none
        self._edges = np.empty(0, np.uint64)

    def count(self, parts: Sequence[Seen]) -> None:
        """Add what came."""
        fresh = Seen.all(parts)
        if not len(fresh):
            return
        every, edge, denied = fresh.with_doors()
        edges, first = np.unique(edge, return_index=True)
        new = ~_among(edges, self._edges) & (edges != _NONE)
        self._edges = np.insert(self._edges, np.searchsorted(self._edges, edges[new]), edges[new])
        who, place, number = np.unique(every, return_inverse=True, return_counts=True)
        known = _among(who, self._who)
        at = np.searchsorted(self._who, who[~known])
        self._who = np.insert(self._who, at, who[~known])
        self._counts = np.insert(self._counts, at, 0, axis=0)
        self._levels = np.insert(self._levels, at, -1)
        secrets = np.bincount(place[first[new]], minlength=len(who))
        refused = np.bincount(place[denied], minlength=len(who))
        self._counts[np.searchsorted(self._who, who)] += np.stack([number, secrets, refused], axis=1)

    def due(self) -> bool:
        """Whether anybody has passed a doubling of what is high for him since this was asked last."""
        enough = np.flatnonzero((self._counts >= _LEAST).any(axis=1))
        if not len(enough):
            return False
        high = np.maximum(_FACTOR * self._peaks_of(self._who[enough]), _LEAST)
        times = (self._counts[enough] / high).max(axis=1)
        level = np.where(times >= 1, np.floor(np.log2(np.maximum(times, 1))), -1).astype(np.int64)
        risen = bool((level > self._levels[enough]).any())
        self._levels[enough] = np.maximum(level, self._levels[enough])
        return risen

    def _peaks_of(self, who: U64) -> npt.NDArray[np.float64]:
        known = _among(who, self._past)
        found = np.zeros((len(who), 3))
        found[known] = self._peaks[np.searchsorted(self._past, who[known])]
        return found

    def close(self) -> None:
        """The window is over: what it had counts for the next ones."""
        self._closed += 1
        self._peaks *= _FADE
        now = np.maximum(self._peaks_of(self._who), self._counts)
        stays = ~_among(self._past, self._who)
        past = np.concatenate([self._past[stays], self._who])
        last = np.concatenate([self._last[stays], np.full(len(now), self._closed, np.int64)])
        kept = np.lexsort((past, -last))[:_KEPT]
        kept = kept[np.argsort(past[kept])]
        self._peaks = np.concatenate([self._peaks[stays], now])[kept]
        self._past, self._last = past[kept], last[kept]
        self._clear()

    def snapshot(self) -> Frames:
        """Frames past, open, edges and closed."""
        peaks = {name: self._peaks[:, i].copy() for i, name in enumerate(_COUNTS)}
        counts = {name: self._counts[:, i].copy() for i, name in enumerate(_COUNTS)}
        return {
            "past": pl.DataFrame({"who": self._past, **peaks, "last": self._last}),
            "open": pl.DataFrame({"who": self._who, **counts, "level": self._levels}),
            "edges": pl.DataFrame({"edge": self._edges}),
            "closed": pl.DataFrame({"closed": [self._closed]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with nothing known."""
        if "past" not in frames:
            return
        past, now = frames["past"], frames["open"]
        self._past, self._last = past["who"].to_numpy().copy(), past["last"].to_numpy().copy()
        self._who, self._levels = now["who"].to_numpy().copy(), now["level"].to_numpy().copy()
        self._peaks = np.stack([past[name].to_numpy() for name in _COUNTS], axis=1)
        self._counts = np.stack([now[name].to_numpy() for name in _COUNTS], axis=1)
        self._edges = frames["edges"]["edge"].to_numpy().copy()
        self._closed = frames["closed"]["closed"][0]


def _among(keys: U64, sorted_keys: U64) -> Bools:
    """Whether each of `keys` is one of `sorted_keys`."""
    if not len(sorted_keys):
        return np.zeros(len(keys), np.bool_)
    found: Bools = sorted_keys[np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)] == keys
    return found
