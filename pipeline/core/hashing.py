"""64-bit hashes of strings, a column at a time, the same on every machine and in every version.

The words of a string (little-endian, eight bytes each, the last one zero-padded) are folded in turn with the
finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014); the length goes in at the start. It spreads well and is
quick over columns. It does not stand up to someone who looks for collisions, so whoever uses it as an identity
compares the strings as well.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

U64 = npt.NDArray[np.uint64]

LONG = 512  # bytes; longer strings are few, and would each cost a pass over the column
_BLOCK = 8_192  # strings: what is made of a block stays in the processor's cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(values: U64) -> U64:
    """SplitMix64's finaliser: every bit of a value moves every bit of the result."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def hash_texts(texts: pa.Array) -> U64:
    """The hash of each value of a large_string array without nulls."""
    return _hash_ranges(*bytes_of(texts)) if len(texts) else np.empty(0, np.uint64)


def bytes_of(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The bytes of a large_string array with eight spare ones behind them, where each text begins, its length."""
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(texts) + 1, texts.offset * 8)
    begin, end = int(offsets[0]), int(offsets[-1])
    data = np.zeros(end - begin + 8, np.uint8)
    if end > begin:
        data[: end - begin] = np.frombuffer(data_buffer, np.uint8, end - begin, begin)
    return data, offsets[:-1] - begin, np.diff(offsets)


def _fold(state: U64, words: U64, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
    """Take the words of strings that are not long into `state`."""
    short = lengths <= LONG
    for at in range(0, int(lengths[short].max(initial=0)), 8):
        more = short & (lengths > at)
        rows = slice(None) if more.all() else np.flatnonzero(more)
        word = words[starts[rows] + at].astype(np.uint64)
        spare = np.clip(8 - (lengths[rows] - at), 0, 7).astype(np.uint64) * np.uint64(8)
        state[rows] = mix((state[rows] ^ ((word << spare) >> spare)) + _GOLDEN)


def _hash_ranges(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> U64:
    """`data` ends in eight spare zero bytes, so that a word can be read at any offset."""
    words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))
    state = mix(lengths.astype(np.uint64) + _GOLDEN)
    for begin in range(0, len(state), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        _fold(state[part], words, starts[part], lengths[part])
    for row in np.flatnonzero(lengths > LONG).tolist():
        text = data[starts[row] : starts[row] + lengths[row]].tobytes()
        state[row] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return state
