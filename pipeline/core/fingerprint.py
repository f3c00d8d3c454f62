"""The uid of a piece of input: from its stream, its place and its bytes, for a whole batch at once.

Two 64-bit hashes, each a sum of words times odd constants (multiply-shift, Dietzfelbinger 1996), finished by the mixer
of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). They tell pieces apart; they prove nothing, that is the ledger's
job. Of a long piece only fixed places are read: its length, its first 64 bytes, its last 80, six words in between.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.core.model import Bytes, Ints

    Words = npt.NDArray[np.uint64]

_HEAD: Final = np.arange(0, 64, 8)  # from the first byte
_TAIL: Final = np.arange(-80, 0, 8)  # from the end
_BETWEEN: Final = np.arange(1, 7)  # sevenths of what lies between
_SHORT: Final = 80  # shorter pieces are read as if zeros stood before them
_BLOCK: Final = 1 << 13  # rows at a time, so that what is made on the way stays small
_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK: Final = (1 << 64) - 1
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_PAIRS: Final = np.stack([np.repeat(_DIGITS, 16), np.tile(_DIGITS, 16)], axis=1).copy().view("<u2").ravel()


def piece_uids(  # noqa: PLR0917  a batch's parts, in its order
    stream: str, file_generation: str, data: Bytes, starts: Ints, ends: Ints, positions: Ints
) -> pl.Series:
    """32 hexadecimal digits per piece `data[starts[i]:ends[i]]`, the same on every machine and in every version.

    `file_generation` tells the lives of a stream's file apart where it was begun anew; "" where there is only one.
    Equal pieces at equal positions of one stream and life have equal uids, however the input was cut into batches.
    """
    origin = _number(stream) ^ (_number(file_generation) if file_generation else 0)
    lengths = (ends - starts).astype(np.uint64)
    data, starts, ends = _long_enough(data, starts, ends)
    words = np.ndarray((max(len(data) - 7, 0),), np.dtype("<u8"), buffer=data, strides=(1,))
    halves = np.empty((len(starts), 2), np.dtype(">u8"))
    for first in range(0, len(starts), _BLOCK):
        rows = slice(first, first + _BLOCK)
        place = positions[rows].astype(np.uint64)
        halves[rows] = _hashed(words[_places(starts[rows], ends[rows])], lengths[rows], place, origin)
    return _hexadecimal(halves)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def _constants(count: int) -> list[int]:
    """The outputs of SplitMix64 from seed 0, made odd: one factor per word and half."""
    made = []
    for step in range(1, count + 1):
        value = step * _GOLDEN & _MASK
        value = (value ^ value >> 30) * _MIX[0] & _MASK
        value = (value ^ value >> 27) * _MIX[1] & _MASK
        made.append(value ^ value >> 31 | 1)
    return made


_WORDS: Final = len(_HEAD) + len(_TAIL) + len(_BETWEEN)
_FACTORS: Final = np.array(_constants(2 * (_WORDS + 3)), np.uint64).reshape(-1, 2)


def _long_enough(data: Bytes, starts: Ints, ends: Ints) -> tuple[Bytes, Ints, Ints]:
    """The same pieces with at least _SHORT bytes each: short ones are copied behind `data`, zeros before them."""
    data = np.ascontiguousarray(data)
    short = np.flatnonzero(ends - starts < _SHORT)
    if not len(short):
        return data, starts, ends
    column = np.arange(_SHORT) - _SHORT
    source = ends[short, None] + column
    kept = source >= starts[short, None]
    copies = np.where(kept, np.append(data, np.uint8(0))[np.where(kept, source, -1)], np.uint8(0))
    starts, ends = starts.copy(), ends.copy()
    starts[short] = len(data) + np.arange(len(short)) * _SHORT
    ends[short] = starts[short] + _SHORT
    return np.concatenate([data, copies.ravel()]), starts, ends


def _places(starts: Ints, ends: Ints) -> Ints:
    """Where words are read, rows by _WORDS."""
    between = (ends - starts - 8)[:, None] * _BETWEEN // 7
    return np.concatenate([starts[:, None] + _HEAD, starts[:, None] + between, ends[:, None] + _TAIL], axis=1)


def _hashed(words: Words, lengths: Words, place: Words, origin: int) -> Words:
    """Two hashes per row of `words`."""
    total = words @ _FACTORS[:_WORDS]
    total += lengths[:, None] * _FACTORS[_WORDS]
    total += place[:, None] * _FACTORS[_WORDS + 1]
    total += np.array([origin], np.uint64) * _FACTORS[_WORDS + 2]
    return _finished(total)


def _finished(value: Words) -> Words:
    value ^= value >> np.uint64(30)
    value *= np.uint64(_MIX[0])
    value ^= value >> np.uint64(27)
    value *= np.uint64(_MIX[1])
    value ^= value >> np.uint64(31)
    return value


def _hexadecimal(halves: npt.NDArray[np.uint64]) -> pl.Series:
    """Big-endian halves as text."""
    text = _PAIRS[halves.view(np.uint8).reshape(len(halves), 16)]
    offsets = np.arange(len(halves) + 1, dtype=np.int64) * 32
    array = pa.LargeStringArray.from_buffers(
        len(halves), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text))
    )
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)  # noqa: S101  an array gives a series
    return series.alias("uid")
