"""Columns of numbers to columns of text, without a Python object per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.simulate import network
from pipeline.simulate.stage import moment_text

_GROUPS = ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24))


def pick(texts: Sequence[str], codes: npt.NDArray[np.integer]) -> pl.Series:
    """`texts[code]` for every code."""
    return pl.Series(texts, dtype=pl.String).gather(codes.astype(np.int64))


def spread(values: npt.NDArray[np.void] | npt.NDArray[np.integer], make: object) -> pl.Series:
    """`make(distinct values)` (a list of texts), laid out over the rows."""
    distinct, place = np.unique(values, return_inverse=True)
    return pick(make(distinct), place)  # type: ignore[operator]


def uuids(hi: npt.NDArray[np.uint64], lo: npt.NDArray[np.uint64]) -> pl.Series:
    """128 bits a row in the usual grouping."""
    count = len(hi)
    words = np.stack([hi, lo], axis=1).astype(">u8").tobytes().hex().encode()
    digits = np.frombuffer(words, np.uint8).reshape(count, 32)
    text = np.full((count, 36), ord("-"), np.uint8)
    for start, end, place in _GROUPS:
        text[:, place : place + end - start] = digits[:, start:end]
    return fixed(text)


def fixed(text: npt.NDArray[np.uint8]) -> pl.Series:
    """Rows of ASCII of one width as strings."""
    count, width = text.shape
    offsets = pa.py_buffer((np.arange(count + 1, dtype=np.int64) * width).tobytes())
    column = pa.LargeStringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(text).tobytes()))
    made = pl.from_arrow(column)
    if not isinstance(made, pl.Series):
        raise TypeError("a column of text was expected")
    return made


def times(ns: npt.NDArray[np.int64]) -> pl.Series:
    """RFC 3339 in UTC as Go writes it: up to nine digits, trailing zeros dropped."""
    text = pl.Series(ns, dtype=pl.Int64).cast(pl.Datetime("ns")).dt.to_string("%Y-%m-%dT%H:%M:%S%.9f")
    return text.str.strip_chars_end("0").str.strip_chars_end(".") + "Z"


def addresses(ip: npt.NDArray[np.uint32]) -> pl.Series:
    """Dotted quads."""
    return spread(ip, network.dotted)


def trimmed(ns: int) -> str:
    """One instant as `times` writes it."""
    return moment_text(ns)[:-1].rstrip("0").rstrip(".") + "Z"


def glue(pieces: Sequence[str | pl.Series]) -> pl.Series:
    """Columns and fixed texts joined row by row."""
    columns = [p.alias(str(i)) for i, p in enumerate(pieces) if isinstance(p, pl.Series)]
    parts = [pl.lit(p) if isinstance(p, str) else pl.col(str(i)) for i, p in enumerate(pieces)]
    return pl.DataFrame(columns).select(pl.concat_str(parts)).to_series()
