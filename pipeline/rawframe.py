"""RAW rows without a copy: binary views that point into the batch's own buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Bytes, Ints

INLINE = 12  # a view of at most twelve bytes holds them itself (Arrow columnar format, variable-size binary view)


def binary(data: Bytes, starts: Ints, ends: Ints, replaced: Mapping[int, bytes]) -> pl.Series:
    """Piece i as `data[starts[i]:ends[i]]`, or as `replaced[i]` where that is given."""
    lengths, offsets = ends - starts, starts.copy()
    which = np.zeros(len(starts), dtype=np.int32)
    buffers, texts = [np.ascontiguousarray(data)], b""
    if replaced:
        order = sorted(replaced)
        sizes = np.array([len(replaced[i]) for i in order], dtype=np.int64)
        texts = b"".join(replaced[i] for i in order)
        lengths[order], which[order] = sizes, 1
        offsets[order] = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        buffers.append(np.frombuffer(texts, dtype=np.uint8))
    views = _views(buffers, lengths, offsets, which)
    pieces = [None, pa.py_buffer(views), *(pa.py_buffer(b) for b in buffers)]
    array = pa.Array.from_buffers(pa.binary_view(), len(starts), pieces)
    return pl.Series("raw", array, dtype=pl.Binary)


def _views(
    buffers: list[Bytes], lengths: Ints, offsets: Ints, which: np.ndarray[tuple[int], np.dtype[np.int32]]
) -> Bytes:
    views = np.zeros((len(lengths), 4), dtype="<i4")
    views[:, 0] = lengths
    raw = views.view(np.uint8).reshape(len(lengths), 16)
    for number, buffer in enumerate(buffers):
        long = (which == number) & (lengths > INLINE)
        at = offsets[long]
        for k in range(4):
            raw[long, 4 + k] = buffer[at + k]
        views[long, 2] = number
        views[long, 3] = at
        for row in np.flatnonzero((which == number) & (lengths <= INLINE)):
            raw[row, 4 : 4 + lengths[row]] = buffer[offsets[row] : offsets[row] + lengths[row]]
    return views


def fixed(values: Bytes) -> pl.Series:
    """Rows of equal width (n×width) as a binary column."""
    count, width = values.shape
    array = pa.Array.from_buffers(pa.binary(width), count, [None, pa.py_buffer(np.ascontiguousarray(values))])
    return pl.Series(array.cast(pa.binary()), dtype=pl.Binary)
