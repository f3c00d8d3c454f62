"""The order of texts, by the words they consist of: eight bytes are compared at once, and a shared beginning never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.hashing import bytes_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.core.hashing import U64
    from pipeline.core.model import Bytes, Ints

_FEW: Final = 512  # texts: up to here, and where texts differ in length a lot, a comparison of each is quicker
_WORDS: Final = 6


def ranked(texts: pa.Array) -> Ints:
    """Which of the distinct `texts` (large_string, no nulls) comes first, second … in the order of bytes."""
    if len(texts) > _FEW:
        data, starts, lengths = bytes_of(texts)
        begin = _shared(data, starts, int(lengths.min()))
        words = -(-(int(lengths.max()) - begin) // 8)
        if words <= _WORDS:
            return _by_words(data, starts + begin, lengths - begin, words)
        return pl.Series(texts, dtype=pl.String).arg_sort().to_numpy().astype(np.int64)
    names = texts.to_pylist()
    return np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)


def _shared(data: Bytes, starts: Ints, least: int) -> int:
    """How many bytes all texts begin with, as far as whole words go."""
    words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))
    at = 0
    while at + 8 <= least and (words[starts + at] == words[starts[0] + at]).all():
        at += 8
    if at + 8 <= least:
        differ = np.bitwise_or.reduce(words[starts + at] ^ words[starts[0] + at])
        at += (int(differ) & -int(differ)).bit_length() - 1 >> 3
    return at


def _by_words(data: Bytes, starts: Ints, lengths: Ints, words: int) -> Ints:
    rank = np.zeros(len(starts), np.uint64)
    order = np.arange(len(starts))
    view = np.ndarray((len(data) - 7,), ">u8", data, 0, (1,))
    for word in range(words + 1):
        if word < words:
            left = np.clip(lengths - 8 * word, 0, 8)
            here = view[np.where(left > 0, starts + 8 * word, 0)].astype(np.uint64)
            spare = (8 - left).astype(np.uint64) * np.uint64(8)
            here = np.where(left > 0, here >> spare << spare, np.uint64(0))
        else:
            here = lengths.astype(np.uint64)  # texts that differ in zero bytes at their end alone
        rank, order, done = _refined(rank, here)
        if done:
            break
    return order


def _refined(rank: U64, here: U64) -> tuple[U64, Ints, bool]:
    """Ranks by what they were and then by `here`; the order they stand for; whether no two are alike any more."""
    if rank.any():
        dense, _, _ = _dense(here)
        here = rank * np.uint64(int(dense.max()) + 1) + dense
    return _dense(here)


def _dense(keys: U64) -> tuple[U64, Ints, bool]:
    order = np.argsort(keys)
    ordered = keys[order]
    new = ordered[1:] != ordered[:-1]
    rank = np.empty(len(keys), np.uint64)
    rank[order] = np.append(np.zeros(1, np.uint64), np.cumsum(new).astype(np.uint64))
    return rank, order, bool(new.all())
