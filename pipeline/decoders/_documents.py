"""Documents that stand in one record: the entries in them as records of their own, so that they are read quickly.

A store's export is often one long line, `{"Records":[…]}` or a list. Its elements are found by a parser that builds
nothing of them. What is not surely such a document stays as it is, and is cut like any other record.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from pipeline.decoders._framing import in_bytes, positions
from pipeline.decoders._pieces import BOM, END, HEAD

if TYPE_CHECKING:
    from pipeline.core.model import Ints, RawBatch
    from pipeline.decoders._format import Formats

_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_BEGUN: Final = re.compile(rb"(?:" + BOM + rb")?(?:\[|" + HEAD.pattern + rb")")
_PEEK: Final = 4096  # bytes in which a head has to end
_LEAST: Final = 64  # bytes an element; no entry is as small, and a list of millions is no log
_SHORTEST: Final = len("[{}]")


class Spread(NamedTuple):
    """A batch whose documents are spread out, and for each of its records the one it comes of."""

    batch: RawBatch
    owner: Ints

    def consumed(self, records: int) -> int:
        """How many of the batch as it came are done with when `records` of this one are."""
        return int(self.owner[records]) if records < len(self.owner) else int(self.owner[-1]) + 1


def spread(batch: RawBatch, formats: Formats) -> Spread | None:
    """The batch with each document's head, entries and end as records of their own; None where there is none."""
    found = {record: ends for record in _candidates(batch) if (ends := _ends(batch.record(record), formats))}
    if not found:
        return None
    counts = np.ones(len(batch), np.int64)
    for record, ends in found.items():
        counts[record] = len(ends)
    owner = np.repeat(np.arange(len(batch)), counts)
    starts, stops = batch.starts[owner], batch.ends[owner]
    firsts = np.cumsum(counts) - counts
    for record, ends in found.items():
        mine = slice(firsts[record], firsts[record] + len(ends))
        stops[mine] = batch.starts[record] + np.array(ends)
        starts[mine][1:] = stops[mine][:-1]
    position = positions(batch, starts, owner)
    last = np.append(np.diff(owner) > 0, True)
    after = np.where(in_bytes(batch, owner) & ~last, position + stops - starts, batch.after[owner])
    oversize = [replace(one, record=int(firsts[one.record])) for one in batch.oversize]
    made = replace(batch, starts=starts, ends=stops, positions=position, after=after, oversize=oversize)
    return Spread(made, owner)


def _candidates(batch: RawBatch) -> list[int]:
    """Records that end like a document of at least one entry: with its list, or with a simple member behind it."""
    long = np.flatnonzero(batch.ends - batch.starts >= _SHORTEST)
    if not len(long):
        return []
    last, before = (batch.data[batch.ends[long] - place] for place in (1, 2))
    closed = (last == ord("]")) | ((last == ord("}")) & (before != ord("}")))
    cut = {one.record for one in batch.oversize}
    ended = (record for record in long[closed].tolist() if record not in cut)
    return [record for record in ended if _BEGUN.match(batch.data[batch.starts[record] :][:_PEEK].tobytes())]


def _ends(text: bytes, formats: Formats) -> list[int]:
    """Where the head ends, each element, and the document; nothing where it is none.

    What stands between two elements goes with the second one, or there would be as many pieces again.
    """
    first = len(BOM) if text.startswith(BOM) else 0
    head, stop = HEAD.match(text, first), text.rfind(b"]")
    start = head.end() - 1 if head is not None else first
    if head is not None and formats.hinted.search(head[0]):
        return []
    closed = END.fullmatch(text, stop) is not None if head is not None else stop == len(text) - 1
    if not closed or text[start : start + 1] != b"[":
        return []
    try:
        elements = _ELEMENTS.decode(memoryview(text)[start : stop + 1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    ends, at = [start + 1], start + 1
    for element in map(bytes, elements):
        if element[:1] != b"{":
            return []
        at = text.index(element, at) + len(element)
        ends.append(at)
    small = len(text) < _LEAST * len(elements)
    return [*ends, len(text)] if elements and not small and all(a < b for a, b in pairwise(ends)) else []
