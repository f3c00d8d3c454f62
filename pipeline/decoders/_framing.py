"""Where the pieces lie: vectorised for records that are plainly one object, by `cut` for all others.

A *plain* record is UTF-8 that begins with `{` (after blanks or a harmless prefix, without a token) and ends
with `}`: the quick parser is tried on it. Everything else is *odd*. Objects over several records are put together only
from odd ones, so that a torn line never swallows the good entries behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from pipeline.decoders._pieces import BOM, MAX_PREFIX, benign_prefix
from pipeline.decoders._table import MAX_OBJECT
from pipeline.decoders._tokens import mask_prefix

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.core.model import Bytes, Ints, RawBatch

    Mask = npt.NDArray[np.bool_]

_LF: Final = 10
_FILLER: Final = ord("1")  # a JSON text that is no object: the reader gives a row of nulls for it
_SPACE: Final = 32
_BLANKS: Final = np.frombuffer(b" \t\r\n", np.uint8)


@dataclass(frozen=True, slots=True)
class Framed:
    """A batch made ready for the line reader.

    `data` holds the records, each ended by LF, nothing between them: `data[starts[i]:ends[i]]`. In it, records that
    are not plain are blanked, and so are prefixes. In the batch's own bytes, record `i` without blanks at its sides is
    `firsts[i]:lasts[i]`.
    """

    data: Bytes
    starts: Ints
    ends: Ints
    plain: Mask
    blank: Mask
    firsts: Ints
    lasts: Ints


def frame(batch: RawBatch) -> Framed:
    """Sort a batch's records and lay them out for the reader."""
    starts, ends = _trimmed(batch)
    blank = starts == ends
    plain, bodies = _plain(batch, starts, ends, blank)
    data, at = _laid_out(batch)
    shift = at - batch.starts
    lengths = batch.ends - batch.starts
    if not plain.all() or (bodies != batch.starts).any():
        data = data.copy()
        for index in np.flatnonzero(~plain & (lengths > 0)).tolist():
            data[at[index] : at[index] + lengths[index]] = _SPACE
            data[at[index]] = _FILLER
        data[at[plain & (bodies != batch.starts)]] = _SPACE
        for index in np.flatnonzero(plain & (bodies > batch.starts + 1)).tolist():
            data[at[index] : bodies[index] + shift[index]] = _SPACE
    return Framed(data, at, at + lengths, plain, blank, starts, ends)


def in_bytes(batch: RawBatch, records: Ints) -> Mask:
    """Which of these records are placed by their bytes, as in a file; others are counted."""
    counted: Mask = batch.after[records] - batch.positions[records] >= batch.ends[records] - batch.starts[records]
    return counted


def positions(batch: RawBatch, starts: Ints, records: Ints) -> Ints:
    """The place of what begins there: its first byte where records are placed by bytes, else that of its record."""
    own = batch.positions[records]
    return np.where(in_bytes(batch, records), own + starts - batch.starts[records], own)


def _trimmed(batch: RawBatch) -> tuple[Ints, Ints]:
    """First and past-the-last byte of each record without blanks at its sides; equal when there is nothing else."""
    starts, ends = batch.starts.copy(), batch.ends.copy()
    if len(batch.data) == 0:
        return starts, np.minimum(starts, ends)
    for _ in range(2):  # the usual CR, or one blank; records with more are looked at one by one
        inside = ends > starts
        last = batch.data[np.where(inside, ends - 1, 0)]
        ends -= inside & _is_blank(last)
    inside = ends > starts
    more = inside & (
        _is_blank(batch.data[np.where(inside, starts, 0)]) | _is_blank(batch.data[np.where(inside, ends - 1, 0)])
    )
    for index in np.flatnonzero(more).tolist():
        text = batch.data[starts[index] : ends[index]].tobytes()
        starts[index] += len(text) - len(text.lstrip(b" \t\r\n"))
        ends[index] -= len(text) - len(text.rstrip(b" \t\r\n"))
        ends[index] = max(starts[index], ends[index])
    return starts, ends


def _is_blank(letters: Bytes) -> Mask:
    blank: Mask = np.isin(letters, _BLANKS)
    return blank


def _plain(batch: RawBatch, starts: Ints, ends: Ints, blank: Mask) -> tuple[Mask, Ints]:
    """Which records to try at once, and where their objects begin."""
    bodies = starts.copy()
    if len(batch.data) == 0:
        return np.zeros(len(starts), np.bool_), bodies
    sized = ~blank & (ends - starts <= MAX_OBJECT - (1 << 16))
    closed = sized & (batch.data[np.where(blank, 0, ends - 1)] == ord("}"))
    for cut_off in batch.oversize:
        closed[cut_off.record] = False
    opened = batch.data[np.where(blank, 0, starts)] == ord("{")
    plain = closed & opened
    behind = np.flatnonzero(closed & ~opened)
    if len(behind):
        found = _after_prefix(batch.data, starts[behind], ends[behind])
        plain[behind] = found >= 0
        bodies[behind] = np.maximum(found, starts[behind])
    if plain.any():
        plain &= ~_not_utf8(batch)
        if batch.data.min() == 0:
            plain &= ~_holding(batch, batch.data == 0)
    return plain, bodies


def _after_prefix(data: Bytes, starts: Ints, ends: Ints) -> Ints:
    """Where the object behind a harmless prefix begins; -1 where there is none."""
    found = np.full(len(starts), -1, np.int64)
    braces = np.flatnonzero(data == ord("{"))
    place = np.searchsorted(braces, starts)
    first = np.append(braces, len(data))[place]
    near = np.flatnonzero((first < ends) & (first - starts <= MAX_PREFIX))
    texts: dict[bytes, bool] = {}
    for index in near.tolist():
        text = data[starts[index] : first[index]].tobytes()
        good = texts.get(text)
        if good is None:
            good = benign_prefix(text.removeprefix(BOM)) and mask_prefix(text) == text
            texts[text] = good
        if good:
            found[index] = first[index]
    return found


def _holding(batch: RawBatch, letters: Mask) -> Mask:
    """Records in which at least one of the batch's bytes is marked."""
    holds = np.zeros(len(batch), np.bool_)
    marked = np.flatnonzero(letters)
    owner = np.searchsorted(batch.starts, marked, side="right") - 1
    inside = (owner >= 0) & (marked < batch.ends[np.maximum(owner, 0)])
    holds[owner[inside]] = True
    return holds


def _not_utf8(batch: RawBatch) -> Mask:
    """Records that are not UTF-8; looked for one by one only where there are any."""
    bad = np.zeros(len(batch), np.bool_)
    if batch.data.max() < 128 or _is_utf8(batch.data):
        return bad
    for record in np.flatnonzero(_holding(batch, batch.data >= 128)).tolist():
        bad[record] = not _is_utf8(batch.data[batch.starts[record] : batch.ends[record]])
    return bad


def _is_utf8(data: Bytes) -> bool:
    offsets = np.array([0, len(data)], np.int64)
    try:
        text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _laid_out(batch: RawBatch) -> tuple[Bytes, Ints]:
    """The records, each ended by LF, and where each begins; the batch's own bytes where they already lie so."""
    count = len(batch)
    first, last = int(batch.starts[0]), int(batch.ends[-1])
    joined = (batch.starts[1:] == batch.ends[:-1] + 1).all() and (batch.data[batch.ends[:-1]] == _LF).all()
    if joined and last < len(batch.data) and batch.data[last] == _LF:
        return batch.data[first : last + 1], batch.starts - first
    view = batch.data.data
    pairs = zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)
    text = b"\n".join([view[start:end] for start, end in pairs]) + b"\n"
    at = np.zeros(count, np.int64)
    np.cumsum((batch.ends - batch.starts + 1)[:-1], out=at[1:])
    return np.frombuffer(text, np.uint8), at
