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

from detectors._remembered import FEW, Remembered
from pipeline.core.hashing import mix

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_WORD: Final = 1 << 64
_BLOCK: Final = 2_048  # names
_KEEP: Final = 0.9  # of a full table, after the oldest keys are dropped


def _powers(count: int) -> Keys:
    return np.cumprod(np.full(count, _ODD, dtype=np.uint64), dtype=np.uint64)


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
    if len(names) > _BLOCK:  # what is made of a block stays in the processor's cache
        return np.concatenate([_hashed(names[i : i + _BLOCK]) for i in range(0, len(names), _BLOCK)])
    array = (names.fill_null("") if names.has_nulls() else names).rechunk().to_arrow()
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    starts, sizes = bounds[:-1], np.diff(bounds)
    total = int(sizes.sum())
    if total == 0:
        return mix(np.zeros(len(array), dtype=np.uint64))
    text = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]].astype(np.uint64)
    place = np.arange(total) - np.repeat(starts - bounds[0], sizes)
    weighted = np.append((text + np.uint64(1)) * _powers(int(sizes.max()))[place], np.uint64(0))
    sums = np.add.reduceat(weighted, starts - bounds[0])
    return mix(np.where(sizes > 0, sums, np.uint64(0)) + sizes.astype(np.uint64))


_KEYS: Final = Remembered(lambda names: _hashed(names).tolist())


def joined(tag: int, *parts: Keys) -> Keys:
    """One key from several, in order; `tag` keeps kinds of key apart."""
    out = mix(parts[0] + _begun(tag))
    for part in parts[1:]:
        out = mix(out * _ODD + part)
    return out


@lru_cache(1024)
def _begun(tag: int) -> np.uint64:
    return np.uint64(tag * 0xD1342543DE82EF95 * int(_ODD) % _WORD)


def lot(at_us: int, of: int) -> int:
    """A number below `of`, drawn by the moment: the same wherever a window is seen, and of no period of the day."""
    return (at_us * int(_ODD) >> 32) % of


def _distinct(keys: Keys) -> tuple[Keys, Places]:
    """`np.unique` with the inverse; quick where few keys come often."""
    if len(keys) <= FEW:
        return np.unique(keys, return_inverse=True)
    coded = pl.Series(keys).to_arrow().dictionary_encode()
    found: Keys = coded.dictionary.to_numpy()
    order = np.argsort(found)
    ranks = np.empty(len(found), dtype=np.int64)
    ranks[order] = np.arange(len(found))
    return found[order], ranks[coded.indices.to_numpy()]


class _Starts:
    """Where keys begin with which bits, among sorted ones: hashes spread evenly, so that leaves a few steps each.

    A quarter of a byte for each key at the most.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        bits = max(len(keys).bit_length() - 5, 1)
        self._shift = np.uint64(64 - bits)
        counts = np.bincount((keys >> self._shift).astype(np.int64), minlength=1 << bits)
        self._starts = (np.cumsum(counts) - counts).astype(np.uint32)
        self._steps = int(counts.max()).bit_length()

    def search(self, asked: Keys) -> Places:
        """`np.searchsorted(keys, asked)`."""
        at: Places = self._starts[(asked >> self._shift).astype(np.int64)].astype(np.int64)
        for step in range(self._steps - 1, -1, -1):
            at += (self.keys.take(at + ((1 << step) - 1), mode="clip") < asked).astype(np.int64) << step
        return np.minimum(at, len(self.keys))


class Table:
    """`columns` numbers per key. Values halve every `half_life_us` of event time (None: they stay)."""

    def __init__(self, columns: int, limit: int, half_life_us: float | None = None) -> None:
        self._limit = limit
        self._half_life = half_life_us
        self._keys: Keys = np.empty(0, dtype=np.uint64)
        self._values: Floats = np.empty((0, columns))
        self._seen: Places = np.empty(0, dtype=np.int64)
        self._starts = _Starts(self._keys)
        self._asked: tuple[Keys, Places, Bools] | None = None  # until the next put, and what was found

    def __len__(self) -> int:
        return len(self._keys)

    def _find(self, keys: Keys) -> tuple[Places, Bools]:
        """Where each key is, and whether it is; the same array is asked for time and again, and looked up once."""
        if self._asked is None or self._asked[0] is not keys:
            self._asked = (keys, *self._searched(keys))
        return self._asked[1:]

    def _searched(self, keys: Keys) -> tuple[Places, Bools]:
        if not len(self._keys):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        if len(keys) <= FEW:
            inside = np.searchsorted(self._keys, keys)
        else:
            if self._starts.keys is not self._keys:
                self._starts = _Starts(self._keys)
            inside = self._starts.search(keys)
        np.minimum(inside, len(self._keys) - 1, out=inside)
        return inside, self._keys[inside] == keys

    def knows(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Whether each key is remembered."""
        return self._find(keys)[1]

    def seen(self, keys: Keys) -> npt.NDArray[np.int64]:
        """When each key was last put, µs; 0 for one that is not remembered."""
        at, known = self._find(keys)
        return np.where(known, self._seen[at], 0) if len(self._keys) else np.zeros(len(keys), dtype=np.int64)

    def get(self, keys: Keys, at_us: int) -> Floats:
        """The values of each key as they stand at `at_us`, shape (len(keys), columns); zeros where unknown."""
        at, known = self._find(keys)
        if not known.any():
            return np.zeros((len(keys), self._values.shape[1]))
        out = self._values.take(at, axis=0)
        if self._half_life is not None:
            out *= np.exp2(-np.maximum(at_us - self._seen[at], 0) / self._half_life)[:, None]
        if not known.all():
            out[~known] = 0.0
        return out

    def put(self, keys: Keys, values: Floats, at_us: int) -> None:
        """Set the values of distinct `keys`, shape (len(keys), columns), as of `at_us`."""
        at, known = self._find(keys)
        self._asked = None
        if known.all():
            self._values[at] = values
            self._seen[at] = at_us
            return
        self._values[at[known]] = values[known]
        self._seen[at[known]] = at_us
        fresh = keys[~known]
        order = np.argsort(fresh)
        place = np.searchsorted(self._keys, fresh[order])
        self._keys = np.insert(self._keys, place, fresh[order])
        self._values = np.insert(self._values, place, values[~known][order], axis=0)
        self._seen = np.insert(self._seen, place, at_us)
        self._bound()

    def add(self, keys: Keys, values: Floats, at_us: int) -> None:
        """Add to the values of `keys`, which may repeat."""
        if not len(keys):
            return
        distinct, place = _distinct(keys)
        sums = np.stack([np.bincount(place, weights=column, minlength=len(distinct)) for column in values.T], axis=1)
        self.put(distinct, self.get(distinct, at_us) + sums, at_us)

    def _bound(self) -> None:
        if len(self._keys) <= self._limit:
            return
        dropped = len(self._keys) - max(int(self._limit * _KEEP), 1)
        oldest = np.partition(self._seen, dropped)[dropped]
        kept, equal = self._seen > oldest, np.flatnonzero(self._seen == oldest)
        kept[equal[: len(self._keys) - dropped - np.count_nonzero(kept)]] = True  # of equals the smaller keys
        self._keys, self._values, self._seen = self._keys[kept], self._values[kept], self._seen[kept]

    def snapshot(self) -> pl.DataFrame:
        """Columns key (UInt64), seen (Int64), v0, v1 … (Float64)."""
        columns = {f"v{i}": self._values[:, i].copy() for i in range(self._values.shape[1])}
        return pl.DataFrame({"key": self._keys.copy(), "seen": self._seen.copy(), **columns})

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue from a snapshot."""
        self._keys = frame["key"].to_numpy().astype(np.uint64)
        self._seen = frame["seen"].to_numpy().astype(np.int64)
        self._values = np.array(frame.select(pl.exclude("key", "seen")).to_numpy(), dtype=np.float64, order="C")
        self._asked = None
