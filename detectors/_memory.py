"""Bounded memory for detectors: numbers by 64-bit key, decayed as event time passes, oldest keys dropped first.

Struct of arrays, sorted by key: 16 bytes and 8 per column for each key. A key is a hash of names, so memory holds no
name; two names sharing a key is a chance of n²/2⁶⁵.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from detectors._remembered import FEW, Remembered
from detectors._runs import Bools, Floats, Places, Run, begins
from detectors._texts import ODD, Texts
from pipeline.core.hashing import mix

Keys = npt.NDArray[np.uint64]

_WORD: Final = 1 << 64
_KEEP: Final = 0.9  # of a full table, after the oldest keys are dropped
_ASKED: Final = 3  # questions remembered
_LARGE: Final = 1 << 16  # keys, from which on new ones are kept apart for a while


def keys_of(names: pl.Series) -> Keys:
    """A 64-bit key for each name, the same in every version and on every machine. Null counts as empty."""
    if len(names) > FEW:
        return _hashed(names)
    return np.array(_KEYS.of(names.to_list()), dtype=np.uint64)


def keys_of_few(names: pl.Series) -> Keys:
    """`keys_of` for a column with few distinct names."""
    if len(names) <= FEW:
        return keys_of(names)
    coded = names.fill_null("").rechunk().to_arrow().dictionary_encode()
    found: Keys = keys_of(pl.Series(coded.dictionary, dtype=pl.String))[coded.indices.to_numpy()]
    return found


def _hashed(names: pl.Series) -> Keys:
    return Texts.of((names.fill_null("") if names.has_nulls() else names).rechunk().to_arrow()).keys()


def keys_of_texts(texts: pa.Array) -> Keys:
    """`keys_of` for a large_string array without nulls."""
    return Texts.of(texts).keys() if len(texts) > FEW else np.array(_KEYS.of(texts.to_pylist()), dtype=np.uint64)


_KEYS: Final = Remembered(lambda names: _hashed(names).tolist())


def joined(tag: int, *parts: Keys) -> Keys:
    """One key from several, in order; `tag` keeps kinds of key apart."""
    out = mix(parts[0] + _begun(tag))
    for part in parts[1:]:
        out = mix(out * ODD + part)
    return out


@lru_cache(1024)
def _begun(tag: int) -> np.uint64:
    return np.uint64(tag * 0xD1342543DE82EF95 * int(ODD) % _WORD)


def lot(at_us: int, of: int) -> int:
    """A number below `of`, drawn by the moment: the same wherever a window is seen, and of no period of the day."""
    return (at_us * int(ODD) >> 32) % of


def distinct_of(keys: Keys) -> tuple[Keys, Places]:
    """`np.unique` with the inverse: quick where few keys come often."""
    if len(keys) <= FEW:
        return np.unique(keys, return_inverse=True)
    some = np.unique(keys[:: len(keys) // FEW])
    if len(some) > FEW // 2:  # nearly all are different
        return np.unique(keys, return_inverse=True)
    place = np.minimum(np.searchsorted(some, keys), len(some) - 1)
    if (some[place] == keys).all():
        return some, place
    coded = pl.Series(keys).to_arrow().dictionary_encode()
    found: Keys = coded.dictionary.to_numpy()
    order = np.argsort(found)
    ranks = np.empty(len(found), dtype=np.int64)
    ranks[order] = np.arange(len(found))
    return found[order], ranks[coded.indices.to_numpy()]


def unique(keys: Keys) -> Keys:
    """`np.unique`, by sorting: of keys that are nearly all different its own way costs several times as much."""
    ranked = np.sort(keys)
    return ranked[begins(ranked)]


class Table:
    """`columns` numbers per key. Values halve every `half_life_us` of event time (None: they stay).

    Of a large table the keys that came of late are a run of their own: a few do not move all the others.
    """

    def __init__(self, columns: int, limit: int, half_life_us: float | None = None) -> None:
        self._limit = limit
        self._half_life = half_life_us
        self._columns = columns
        self._old, self._new = self._nothing(), self._nothing()
        self._asked: dict[int, tuple[Keys, Places, Bools]] = {}  # what was found in the old run as it is

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    def _nothing(self) -> Run:
        return Run(np.empty(0, dtype=np.uint64), np.empty((0, self._columns)), np.empty(0, dtype=np.int64))

    def _find(self, keys: Keys) -> tuple[Places, Bools]:
        """Where each key is, and whether it is; the same array is asked for time and again, and looked up once.

        Places in the new run are counted on from the end of the old one.
        """
        if id(keys) not in self._asked:
            if len(self._asked) >= _ASKED:
                self._asked.clear()
            self._asked[id(keys)] = (keys, *self._old.find(keys))
        _, at, known = self._asked[id(keys)]
        if len(self._new) and not known.all():
            rest = np.flatnonzero(~known)
            late, hit = self._new.find(keys[rest])
            at, known = at.copy(), known.copy()
            at[rest[hit]] = late[hit] + len(self._old)
            known[rest[hit]] = True
        return at, known

    def _apart(self, at: Places) -> tuple[Places, Places]:
        """Which of the places are in the old run, and which in the new one."""
        late = at >= len(self._old)
        return np.flatnonzero(~late), np.flatnonzero(late)

    def _values_at(self, at: Places) -> Floats:
        out: Floats = self._old.values.take(at, axis=0, mode="clip")
        if len(self._new):
            _, late = self._apart(at)
            out[late] = self._new.values[at[late] - len(self._old)]
        return out

    def _seen_at(self, at: Places) -> Places:
        out: Places = self._old.seen.take(at, mode="clip")
        if len(self._new):
            _, late = self._apart(at)
            out[late] = self._new.seen[at[late] - len(self._old)]
        return out

    def knows(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Whether each key is remembered."""
        return self._find(keys)[1]

    def seen(self, keys: Keys) -> npt.NDArray[np.int64]:
        """When each key was last put, µs; 0 for one that is not remembered."""
        at, known = self._find(keys)
        return np.where(known, self._seen_at(at), 0) if len(self) else np.zeros(len(keys), dtype=np.int64)

    def get(self, keys: Keys, at_us: int) -> Floats:
        """The values of each key as they stand at `at_us`, shape (len(keys), columns); zeros where unknown."""
        at, known = self._find(keys)
        if not known.any():
            return np.zeros((len(keys), self._columns))
        out = self._values_at(at)
        if self._half_life is not None:
            out *= np.exp2(-np.maximum(at_us - self._seen_at(at), 0) / self._half_life)[:, None]
        if not known.all():
            out[~known] = 0.0
        return out

    def put(self, keys: Keys, values: Floats, at_us: int) -> None:
        """Set the values of distinct `keys`, shape (len(keys), columns), as of `at_us`."""
        at, known = self._find(keys)
        self._asked.pop(id(keys))  # who puts has asked before
        if known.all():
            self._set(at, values, at_us)
            return
        self._set(at[known], values[known], at_us)
        fresh = keys[~known]
        order = np.argsort(fresh)
        run = self._new if len(self._old) > _LARGE else self._old
        if run is self._old:
            self._asked.clear()
        run.insert(fresh[order], values[~known][order], at_us)
        if len(self._new) > len(self._old) >> 4:
            self._settle()
        self._bound()

    def _set(self, at: Places, values: Floats, at_us: int) -> None:
        if not len(self._new):
            self._old.values[at] = values
            self._old.seen[at] = at_us
            return
        for run, rows, begin in zip((self._old, self._new), self._apart(at), (0, len(self._old)), strict=True):
            run.values[at[rows] - begin] = values[rows]
            run.seen[at[rows] - begin] = at_us

    def _settle(self) -> None:
        """One run of both."""
        if len(self._new):
            self._old.insert(self._new.keys, self._new.values, self._new.seen)
            self._new = self._nothing()
            self._asked.clear()

    def bump(self, keys: Keys, at_us: int) -> None:
        """Add one to every value of distinct `keys`."""
        if len(keys):
            self.put(keys, self.get(keys, at_us) + 1.0, at_us)

    def add(self, keys: Keys, values: Floats, at_us: int) -> None:
        """Add to the values of `keys`, which may repeat."""
        if len(keys):
            self.add_at(*distinct_of(keys), values, at_us)

    def add_at(self, distinct: Keys, place: Places, values: Floats, at_us: int) -> None:
        """The same for keys `distinct[place]`."""
        sums = np.stack([np.bincount(place, weights=column, minlength=len(distinct)) for column in values.T], axis=1)
        self.put(distinct, self.get(distinct, at_us) + sums, at_us)

    def _bound(self) -> None:
        if len(self) <= self._limit:
            return
        self._settle()
        self._asked.clear()
        seen = self._old.seen
        dropped = len(seen) - max(int(self._limit * _KEEP), 1)
        oldest = np.partition(seen, dropped)[dropped]
        kept, equal = seen > oldest, np.flatnonzero(seen == oldest)
        kept[equal[: len(seen) - dropped - np.count_nonzero(kept)]] = True  # of equals the smaller keys
        self._old = Run(self._old.keys[kept], self._old.values[kept], seen[kept])

    def snapshot(self) -> pl.DataFrame:
        """Columns key (UInt64), seen (Int64), v0, v1 … (Float64)."""
        self._settle()
        keys, values, seen = self._old.keys, self._old.values, self._old.seen
        columns = {f"v{i}": values[:, i].copy() for i in range(self._columns)}
        return pl.DataFrame({"key": keys.copy(), "seen": seen.copy(), **columns})

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue from a snapshot."""
        values = np.array(frame.select(pl.exclude("key", "seen")).to_numpy(), dtype=np.float64, order="C")
        self._old = Run(frame["key"].to_numpy().astype(np.uint64), values, frame["seen"].to_numpy().astype(np.int64))
        self._new = self._nothing()
        self._asked.clear()
