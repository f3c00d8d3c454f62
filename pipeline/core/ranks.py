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
_LONGEST: Final = 48  # bytes behind the shared beginning
_BYTE: Final = np.uint64(8)


def ranked(texts: pa.Array) -> Ints:
    """Which of the distinct `texts` (large_string, no nulls) comes first, second … in the order of bytes."""
    if len(texts) > _FEW:
        data, starts, lengths = bytes_of(texts)
        begin = _shared(data, starts, int(lengths.min()))
        if int(lengths.max()) - begin <= _LONGEST:
            return _by_words(data, starts + begin, lengths - begin)
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


def _by_words(data: Bytes, starts: Ints, lengths: Ints) -> Ints:
    """A rank by the first bytes is refined by those that follow, as many as have room beside it in a word."""
    view = np.ndarray((len(data) - 7,), ">u8", data, 0, (1,))
    rank, at, width, room = np.zeros(len(starts), np.uint64), 0, 8, 8 - -(-len(starts).bit_length() // 8)
    while at < lengths.max():
        left = np.clip(lengths - at, 0, width)
        word = view[np.where(left > 0, starts + at, 0)].astype(np.uint64) >> np.uint64(64 - 8 * width)
        spare = (width - left).astype(np.uint64) * _BYTE
        here = np.where(left > 0, word >> spare << spare, np.uint64(0))
        rank, order, done = _dense(rank << np.uint64(8 * width) | here if at else here)
        if done:
            return order
        at, width = at + width, room
    return _dense(rank << np.uint64(32) | lengths.astype(np.uint64))[1]  # zero bytes at the end tell them apart


def _dense(keys: U64) -> tuple[U64, Ints, bool]:
    """The rank of each key, their order, and whether no two are alike."""
    order = np.argsort(keys)
    ordered = keys[order]
    new = ordered[1:] != ordered[:-1]
    rank = np.empty(len(keys), np.uint64)
    rank[order] = np.append(np.zeros(1, np.uint64), np.cumsum(new).astype(np.uint64))
    return rank, order, bool(new.all())
