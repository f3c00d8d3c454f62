"""When a window that is still open is worth a look, and at what.

What detectors count only grows inside a window: who has passed a threshold in a part of it has passed it at its end.
So a look tells hardly anything that would not be told, only sooner; what it costs is what there is to weigh. Looked at
is what is far above the most that somebody ever had in one window (operations, different secrets, refusals, names asked
for in vain), a network or folder that is not theirs, who was long away, log-ins refused to many accounts, and refusals
of a secret that was just written. Each is looked at again whenever it has grown by half, operations when they have
doubled, the last two by a quarter: a flood costs a few looks. Log-ins are judged by what a night has left of them, as
their detector does, not by the window alone: who tries slowly passes its threshold in any window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.seen import DONE, NONE, REFUSED, WALKED, WRITTEN, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.core.hashing import U64
    from pipeline.core.model import Frames

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

# What is counted per principal (`walked`: names listed, not there, refused; `own` and `stale`, refusals: with a secret;
# `logins`, refused: per address and per mount), and from where on it is worth a look at all.
KINDS: Final = ("operations", "secrets", "refused", "walked", "own", "places", "networks", "return", "logins", "stale")
_N, _SECRETS, _REFUSED, _WALKED, _OWN, _PLACES, _NETWORKS, _RETURN, _LOGINS, _STALE = range(len(KINDS))
_LEAST: Final = np.array([40.0, 12.0, 8.0, 8.0, 2.0, 1.0, 1.0, 1.0, 5.0, 1.0])
_RISING: Final = (_N, _SECRETS, _REFUSED, _WALKED, _OWN)  # judged by the most there was before
_SUMMED: Final = np.arange(len(KINDS)) == _LOGINS  # judged by what is left of all there were
_ALWAYS: Final = (_REFUSED, _LOGINS)  # also while everything is new
_ABOVE: Final = 1.5  # times the most that somebody had in one window
# Times: each is looked at again when it has grown so much.
_STEP: Final = np.array([2.0] + [1.5] * (len(KINDS) - 3) + [1.25, 1.25])
_EXPLORES: Final = 10.0  # new places at once, from which on new places are looked at as counts are
_SETTLED_HOURS: Final = 48  # before, nearly everything is new
_KNOWN_HOURS: Final = 72  # and for so long, all that somebody new does
_AWAY_HOURS: Final = 7 * 24
_STILL_HOURS: Final = 7 * 24  # who has not moved for so long does not roam
_WRITTEN_HOURS: Final = 12  # for so long after a write refusals are watched for
_FADE: Final = 0.999  # of a peak, by the window: a month halves it
_NIGHT_HOURS: Final = 12.0  # halve what there was of log-ins refused
_KEPT: Final = 100_000  # principals; past it those not seen for longest go
_PLACES_KEPT: Final = 500_000  # folders and networks of principals, likewise
_WRITTEN_KEPT: Final = 100_000  # secrets


class Looks:
    """Peaks of closed windows, what is at home where, counts of the open one, and what was looked at in it.

    Of refused log-ins the place of the peak holds what is left of all there were.
    """

    def __init__(self, width_us: int) -> None:
        self._hour = 3_600_000_000 / width_us  # windows an hour
        self._fade = np.where(_SUMMED, 0.5 ** (1 / (_NIGHT_HOURS * self._hour)), _FADE)
        self._past, self._peaks = np.empty(0, np.uint64), np.empty((0, len(KINDS)))  # keys ascend, here and below
        self._first: Ints = np.empty(0, np.int64)  # the windows each was seen in first and last
        self._last: Ints = np.empty(0, np.int64)
        self._moved: Ints = np.empty(0, np.int64)  # and the one in which it was in a new network last
        self._home, self._home_last = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._written, self._written_last = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._closed = 0
        self._clear()

    def _clear(self) -> None:
        self._who, self._counts = np.empty(0, np.uint64), np.empty((0, len(KINDS)), np.int64)
        self._levels: Ints = np.empty((0, len(KINDS)), np.int64)  # how often each had grown when looked at, -1: never
        self._pairs = np.empty(0, np.uint64)  # of principal and secret, or of a log-in, counted already
        self._strange = np.empty(0, np.uint64)  # of principal and secret, in places new to it
        self._new = np.empty(0, np.uint64)  # places and networks of this window that are new
        self._adopted = np.empty(0, np.bool_)  # whether each of `_who` came to one
        self._slack = 0  # so many operations can make nothing due, were they what is usual in all else

    def count(self, parts: Sequence[Seen]) -> None:
        """Add what came."""
        self._slack = 0
        if not parts:
            return
        fresh = Seen.all(parts)
        refused = fresh.how == REFUSED
        own = refused & (fresh.edge != NONE) & (fresh.door == NONE)
        stale = self._just_written(fresh)
        foreign = self._unknown(fresh.zone, ~refused)
        door = (fresh.door != NONE) & (foreign | (fresh.who == NONE))
        named = np.concatenate([fresh.who, fresh.edge[own], fresh.door[door], fresh.gate[door]])
        who, row = np.unique(named, return_inverse=True)
        self._meet(who)
        mine, theirs, doors = np.split(row, np.cumsum([len(fresh), np.count_nonzero(own)]))
        at = np.searchsorted(self._who, who)

        def tally(kind: int, rows: Ints) -> None:
            self._counts[at, kind] += np.bincount(rows, minlength=len(who))

        tally(_N, mine)
        tally(_REFUSED, mine[refused])
        tally(_WALKED, mine[(fresh.how == WALKED) | own])
        tally(_RETURN, mine[fresh.how >= DONE])
        tally(_OWN, theirs)
        tally(_STALE, theirs[stale[own]])
        self._pairs, first = _more(self._pairs, fresh.edge)
        tally(_SECRETS, mine[first])
        self._pairs, first = _more(self._pairs, np.concatenate([fresh.knock[door], fresh.push[door]]))
        tally(_LOGINS, doors[first])
        strange = self._unknown(fresh.place, ~refused)
        self._strange, first = _more(self._strange, fresh.edge[strange])
        tally(_PLACES, mine[np.flatnonzero(strange)[first]])
        foreign &= ~refused
        far = self._unknown(fresh.network, ~refused) & ~refused
        roams = self._closed - self._of_past(self._moved, who, self._closed) < _STILL_HOURS * self._hour
        tally(_NETWORKS, mine[far | (foreign & ~roams[mine])])
        self._adopted[at] |= np.bincount(mine[foreign], minlength=len(who)) > 0
        self._counts[self._who == NONE] = 0

    def _just_written(self, fresh: Seen) -> Bools:
        """Whether the secret of each operation was written before it, lately; what is written counts from here on."""
        wrote = np.flatnonzero(fresh.how == WRITTEN)
        secrets, first = np.unique(fresh.what[wrote], return_index=True)
        stale = _among(fresh.what, self._written)
        if not len(secrets):
            return stale
        at = np.minimum(np.searchsorted(secrets, fresh.what), len(secrets) - 1)
        stale |= (secrets[at] == fresh.what) & (np.arange(len(fresh)) > wrote[first][at])
        stays = ~_among(self._written, secrets)
        keys = np.concatenate([self._written[stays], secrets])
        last = np.concatenate([self._written_last[stays], np.full(len(secrets), self._closed, np.int64)])
        order = np.argsort(keys)
        self._written, self._written_last = keys[order], last[order]
        return stale

    def _meet(self, who: U64) -> None:
        """Rows for those who have none yet."""
        fresh = who[~_among(who, self._who)]
        at = np.searchsorted(self._who, fresh)
        self._who = np.insert(self._who, at, fresh)
        self._counts = np.insert(self._counts, at, 0, axis=0)
        self._levels = np.insert(self._levels, at, -1, axis=0)
        self._adopted = np.insert(self._adopted, at, values=False)

    def _unknown(self, keys: U64, there: Bools) -> Bools:
        """Places or networks new to their principal. Who is `there`, not only asked to be, makes them its own."""
        named = keys != NONE
        at = np.minimum(np.searchsorted(self._home, keys), max(len(self._home) - 1, 0))
        known = self._home[at] == keys if len(self._home) else np.zeros(len(keys), np.bool_)
        self._home_last[at[known & named & there]] = self._closed
        new: Bools = named & ~known
        self._new, _ = _more(self._new, keys[new & there])
        return new

    def idle(self, fresh: Seen, uncounted: int) -> bool:
        """Whether nothing can be due because of `fresh` and of what came since anything was counted, so many in all."""
        if self._closed < _SETTLED_HOURS * self._hour:
            return not (fresh.how == REFUSED).any()
        if uncounted >= self._slack or (fresh.how < DONE).any():
            return False
        last = self._of_past(self._last, fresh.who, self._closed)
        if (self._closed - last >= _AWAY_HOURS * self._hour).any():
            return False
        return not any(_new_to(self._home, keys).any() for keys in (fresh.place, fresh.zone, fresh.network))

    def due(self) -> frozenset[str]:
        """The KINDS of what has risen, since this was asked last, above what is usual for somebody."""
        counts = self._counts.copy()
        first = self._of_past(self._first, self._who, self._closed)
        last = self._of_past(self._last, self._who, self._closed)
        counts[self._closed - last < _AWAY_HOURS * self._hour, _RETURN] = 0
        young = self._closed - first < _KNOWN_HOURS * self._hour
        counts[:, (_PLACES, _NETWORKS)] *= ~young[:, None]
        if self._closed < _SETTLED_HOURS * self._hour:
            counts[:, [kind for kind in range(len(KINDS)) if kind not in _ALWAYS]] = 0
        past = self._of_past(self._peaks, self._who, 0.0)
        high, left = _worth(past), past * _SUMMED / _LEAST
        level = _grown(counts / high + left)
        risen = (level > np.maximum(self._levels, _grown(left))).any(axis=0)
        self._levels = np.maximum(level, self._levels)
        room = high * _STEP ** (self._levels + 1.0) - counts
        self._slack = int(min(room[:, (_N, _SECRETS)].min(initial=_LEAST[_SECRETS]), _LEAST[_SECRETS])) - 1
        return frozenset(KINDS[kind] for kind in np.flatnonzero(risen).tolist())

    def _of_past(self, values: npt.NDArray[Any], who: U64, without: float) -> npt.NDArray[Any]:
        """What `values` (row i is of `_past[i]`) has of each of `who`."""
        known = _among(who, self._past)
        found = np.full((len(who), *values.shape[1:]), without, values.dtype)
        found[known] = values[np.searchsorted(self._past, who[known])]
        return found

    def close(self) -> None:
        """The window is over: what it had counts for the next ones."""
        self._closed += 1
        self._peaks *= self._fade
        there = (self._counts[:, (_RETURN, _LOGINS)] > 0).any(axis=1)
        before = self._of_past(self._peaks, self._who, 0.0)
        now = np.where(_SUMMED, before + self._counts, np.maximum(before, self._counts))
        first = self._of_past(self._first, self._who, self._closed)
        last = np.where(there, self._closed, self._of_past(self._last, self._who, self._closed))
        moved = np.where(self._adopted, self._closed, self._of_past(self._moved, self._who, 0))
        stays = ~_among(self._past, self._who)
        past = np.concatenate([self._past[stays], self._who])
        last = np.concatenate([self._last[stays], last])
        kept = _latest(past, last, _KEPT)
        self._peaks = np.concatenate([self._peaks[stays], now])[kept]
        self._first = np.concatenate([self._first[stays], first])[kept]
        self._moved = np.concatenate([self._moved[stays], moved])[kept]
        self._past, self._last = past[kept], last[kept]
        self._settle()
        self._clear()

    def _settle(self) -> None:
        """What was new in the window is at home now."""
        home = np.concatenate([self._home, self._new])
        last = np.concatenate([self._home_last, np.full(len(self._new), self._closed, np.int64)])
        kept = _latest(home, last, _PLACES_KEPT)
        self._home, self._home_last = home[kept], last[kept]
        lately = self._closed - self._written_last <= _WRITTEN_HOURS * self._hour
        keys, last = self._written[lately], self._written_last[lately]
        kept = _latest(keys, last, _WRITTEN_KEPT)
        self._written, self._written_last = keys[kept], last[kept]

    def snapshot(self) -> Frames:
        """Frames past, home, written, open, pairs, strange, new and closed."""
        peaks = {name: self._peaks[:, i].copy() for i, name in enumerate(KINDS)}
        counts = {name: self._counts[:, i].copy() for i, name in enumerate(KINDS)}
        levels = {f"{name}.level": self._levels[:, i].copy() for i, name in enumerate(KINDS)}
        return {
            "past": pl.DataFrame(
                {"who": self._past, **peaks, "first": self._first, "last": self._last, "moved": self._moved}
            ),
            "home": pl.DataFrame({"key": self._home, "last": self._home_last.copy()}),
            "written": pl.DataFrame({"key": self._written, "last": self._written_last}),
            "open": pl.DataFrame({"who": self._who, **counts, **levels, "adopted": self._adopted.copy()}),
            "pairs": pl.DataFrame({"key": self._pairs}),
            "strange": pl.DataFrame({"key": self._strange}),
            "new": pl.DataFrame({"key": self._new}),
            "closed": pl.DataFrame({"closed": [self._closed]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; what one of an earlier version does not tell of is not known."""
        if "home" not in frames:
            return
        past, now, home = frames["past"], frames["open"], frames["home"]
        self._past, self._who = past["who"].to_numpy().copy(), now["who"].to_numpy().copy()
        self._first, self._last = past["first"].to_numpy().copy(), past["last"].to_numpy().copy()
        self._home, self._home_last = home["key"].to_numpy().copy(), home["last"].to_numpy().copy()
        self._peaks = _stacked(past, KINDS, 0.0)
        self._counts = _stacked(now, KINDS, 0)
        self._levels = _stacked(now, [f"{name}.level" for name in KINDS], -1)
        self._moved, self._adopted = past["moved"].to_numpy().copy(), now["adopted"].to_numpy().copy()
        self._pairs, self._strange = frames["pairs"]["key"].to_numpy(), frames["strange"]["key"].to_numpy()
        self._new = frames["new"]["key"].to_numpy()
        if (written := frames.get("written")) is not None:
            self._written, self._written_last = written["key"].to_numpy(), written["last"].to_numpy()
        self._closed = frames["closed"]["closed"][0]


def _worth(peaks: Floats) -> Floats:
    """What is worth a look for somebody with such peaks."""
    high = np.zeros_like(peaks)
    high[:, _RISING] = peaks[:, _RISING]
    high[:, _PLACES] = np.where(peaks[:, _PLACES] >= _EXPLORES, peaks[:, _PLACES], 0.0)
    worth: Floats = np.maximum(_ABOVE * high, _LEAST)
    return worth


def _grown(times: Floats) -> Ints:
    """How often each has grown by its _STEP from where it is worth a look; -1: it is not yet."""
    steps: Ints = np.where(times >= 1, np.floor(np.log(np.maximum(times, 1)) / np.log(_STEP)), -1).astype(np.int64)
    return steps


def _stacked(frame: pl.DataFrame, names: Sequence[str], without: float) -> npt.NDArray[Any]:
    """The columns side by side; one that an earlier version did not have is `without`."""
    none = np.full(len(frame), without)
    return np.stack([frame[name].to_numpy() if name in frame.columns else none for name in names], axis=1)


def _among(keys: U64, sorted_keys: U64) -> Bools:
    """Whether each of `keys` is one of `sorted_keys`."""
    if not len(sorted_keys):
        return np.zeros(len(keys), np.bool_)
    found: Bools = sorted_keys[np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)] == keys
    return found


def _new_to(sorted_keys: U64, keys: U64) -> Bools:
    """Keys that are none of `sorted_keys`; 0 is no key."""
    new: Bools = ~_among(keys, sorted_keys) & (keys != NONE)
    return new


def _more(sorted_keys: U64, keys: U64) -> tuple[U64, Ints]:
    """The keys with those of `keys` that were not among them, 0 aside; and where each of these comes first."""
    distinct, first = np.unique(keys, return_index=True)
    new = ~_among(distinct, sorted_keys) & (distinct != NONE)
    return np.insert(sorted_keys, np.searchsorted(sorted_keys, distinct[new]), distinct[new]), first[new]


def _latest(keys: U64, last: Ints, most: int) -> Ints:
    """The places of at most so many keys, those seen last, in the order of keys."""
    if len(keys) <= most:
        return np.argsort(keys)
    kept = np.lexsort((keys, -last))[:most]
    return kept[np.argsort(keys[kept])]
