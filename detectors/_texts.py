"""A column of names as bytes: keys of names, and of how far they reach, without making the shorter names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.core.hashing import U64, bytes_of, mix

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_BLOCK: Final = 8_192  # names: what is made of a block stays in the processor's cache
_LONG: Final = 256  # bytes; longer names are few, and would each cost a pass over the block
_BYTE: Final = np.uint64(8)


@dataclass(frozen=True, slots=True)
class Texts:
    """Name i is `data[starts[i]:starts[i] + sizes[i]]`; eight spare bytes follow the last one."""

    data: Bytes
    starts: Places
    sizes: Places

    @classmethod
    def of(cls, names: pa.Array) -> Texts:
        """Of a large_string array without nulls."""
        return cls(*bytes_of(names))

    def folders(self, depth: int) -> Texts:
        """As far as the `depth`-th slash, or the last one where there are fewer; nothing where there is none."""
        slashes = np.flatnonzero(self.data == ord("/"))
        first, after = self._within(slashes)
        last = np.minimum(first + depth, after) - 1
        ends = np.append(slashes, 0)[last] + 1
        return Texts(self.data, self.starts, np.where(after > first, ends - self.starts, 0))

    def above(self) -> tuple[Texts, npt.NDArray[np.bool_]]:
        """Up to the last slash or colon, without it; and which names have one."""
        marks = np.flatnonzero((self.data == ord("/")) | (self.data == ord(":")))
        first, after = self._within(marks)
        ends = np.append(marks, 0)[after - 1]
        has = after > first
        return Texts(self.data, self.starts, np.where(has, ends - self.starts, 0)), has

    def _within(self, marks: Places) -> tuple[Places, Places]:
        """Of ascending places in whole names that follow each other: the first in each, and the first behind it."""
        first = np.searchsorted(marks, self.starts)
        return first, np.append(first[1:], len(marks))

    def series(self) -> pl.Series:
        """As strings."""
        bounds = np.append(np.zeros(1, np.int64), np.cumsum(self.sizes))
        at = np.arange(bounds[-1]) + np.repeat(self.starts - bounds[:-1], self.sizes)
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(self.data[at])]
        return pl.Series(pa.Array.from_buffers(pa.large_string(), len(self.sizes), buffers), dtype=pl.String)

    def keys(self) -> U64:
        """A 64-bit key for each name, the same in every version and on every machine."""
        sums = np.empty(len(self.sizes), np.uint64)
        for begin in range(0, len(sums), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            sums[part] = _sums(self.data, self.starts[part], self.sizes[part])
        return mix(sums + self.sizes.astype(np.uint64))


def _sums(data: Bytes, starts: Places, sizes: Places) -> U64:
    """Byte i of a name, and one, times the i-th power, added up."""
    powers = _powers(max(int(sizes.max()), 8))
    if sizes.max() > _LONG:
        short = sizes <= _LONG
        sums = np.zeros(len(sizes), np.uint64)
        if short.any():
            sums[short] = _sums(data, starts[short], sizes[short])
        for row in np.flatnonzero(~short).tolist():
            text = data[starts[row] : starts[row] + sizes[row]].astype(np.uint64) + np.uint64(1)
            sums[row] = (text * powers[: len(text)]).sum(dtype=np.uint64)
        return sums
    sums = np.append(np.zeros(1, np.uint64), np.cumsum(powers, dtype=np.uint64))[sizes]
    words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))
    for at in range(0, int(sizes.max()), 8):
        longer = sizes > at
        rows = slice(None) if longer.all() else np.flatnonzero(longer)
        word = words[starts[rows] + at].astype(np.uint64)
        spare = np.clip(8 - (sizes[rows] - at), 0, 7).astype(np.uint64) * _BYTE
        sums[rows] += _weighed((word << spare) >> spare, powers[at : at + 8])
    return sums


def _weighed(words: U64, powers: U64) -> U64:
    """Each of the eight bytes of a word times its power, added up; `words` are used up."""
    total, part = np.zeros_like(words), np.empty_like(words)
    for power in powers:
        np.bitwise_and(words, np.uint64(255), out=part)
        np.multiply(part, power, out=part)
        np.add(total, part, out=total)
        np.right_shift(words, _BYTE, out=words)
    return total


@lru_cache(8)
def _powers_upto(words: int) -> U64:
    return np.cumprod(np.full(words * 8, ODD, dtype=np.uint64), dtype=np.uint64)


def _powers(count: int) -> U64:
    """A whole number of words of them."""
    return _powers_upto(1 << (-(-count // 8) - 1).bit_length())
