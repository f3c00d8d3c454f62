"""The odd records of a batch, in order, as pieces: each record by itself, or several that make one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from pipeline.decoders._exact import RefusedError
from pipeline.decoders._pieces import BRACKETS, HEAD, Piece, Scan, cut, cut_nuls, tail_end

if TYPE_CHECKING:
    from pipeline.core.model import RawBatch
    from pipeline.decoders._format import Formats, Parsed
    from pipeline.decoders._framing import Mask

MAX_RECORDS: Final = 10_000  # of an object over several records
_BRACE: Final = ord("{")
MAX_BYTES: Final = 4 << 20
_OTHER: Final = "unknown_format"
_WITH_OTHER: Final = frozenset({_OTHER, BRACKETS})
MAX_HEAD: Final = 4096  # of a document, up to its first entry


class Placed(NamedTuple):
    """A piece, and the record that holds its first byte."""

    piece: Piece
    record: int


class _Stretch(NamedTuple):
    start: int
    end: int
    record: int


class Cutter:
    """Takes odd records one by one, in order. `placed` are their pieces, offsets in the batch's bytes."""

    def __init__(self, batch: RawBatch, blank: Mask, formats: Formats) -> None:
        self.placed: list[Placed] = []
        self._formats = formats
        self._batch = batch
        self._oversize = {cut_off.record for cut_off in batch.oversize}
        solid = np.flatnonzero(~blank)
        self._next = np.append(solid, len(blank))[np.searchsorted(solid, np.arange(1, len(blank) + 1))]
        self._scan: Scan | None = None  # follows the one object that may be open
        self._body = 0  # where its `{` stands
        self._fed: list[_Stretch] = []  # what of it has been read

    def take(self, record: int) -> None:
        """Cut one more record."""
        if self._scan is not None and record != self._next[self._fed[-1].record]:
            self._give_up()
        start, end = int(self._batch.starts[record]), int(self._batch.ends[record])
        if record in self._oversize:
            self._refuse(_Stretch(start, end, record), "oversize")
            return
        text = self._text(start, end)
        before = len(self.placed)
        alone = self._batch.alone
        for first, stop, nuls in cut_nuls(text, 0, len(text)):
            stretch = _Stretch(start + first, start + stop, record)
            if nuls:
                self._refuse(stretch, "nul_run")
            else:
                self._read(stretch, may_open=stop == len(text) and not alone)
        self._own_remains(before, record)

    def finish(self) -> int:
        """The number of records done with: all, or those before an object that goes on beyond the batch.

        Nothing stays placed of a record that is not done with: it comes again.
        """
        count = len(self._batch)
        if self._scan is not None and not self._batch.final and self._next[self._fed[-1].record] == count:
            count = self._fed[0].record
            self.placed = [one for one in self.placed if one.record < count]
        else:
            self._give_up()
        return count

    def _own_remains(self, before: int, record: int) -> None:
        """What stands in one record with an entry, or with remains of one, is remains too."""
        placed = self.placed[before:]
        mine = (one.piece for one in placed if one.record == record)
        if not any(piece.entry or piece.reason == "torn" for piece in mine):
            return
        for place, (piece, owner) in enumerate(placed, before):
            if owner == record and piece.reason == "unknown_format" and self._batch.data[piece.start] != _BRACE:
                self.placed[place] = Placed(piece._replace(reason="torn"), owner)

    def _text(self, start: int, end: int) -> bytes:
        return self._batch.data[start:end].tobytes()

    def _refuse(self, stretch: _Stretch, reason: str) -> None:
        self._give_up()
        self._add(Piece(stretch.start, stretch.end, stretch.start, None, reason), stretch.record)

    def _add(self, piece: Piece, record: int) -> None:
        """Put down a piece. What is of no format, and what follows it in the record and is neither, is one piece."""
        last = self.placed[-1] if self.placed else None
        if last is not None and last.record == record and last.piece.reason == _OTHER and piece.reason in _WITH_OTHER:
            self.placed[-1] = Placed(last.piece._replace(end=piece.end), record)
        else:
            self.placed.append(Placed(piece, record))

    def _read(self, stretch: _Stretch, *, may_open: bool) -> None:
        """Go on with the open object, or cut the stretch by itself."""
        if self._scan is not None:
            stop = self._scan.feed(self._text(stretch.start, stretch.end), 0, stretch.end - stretch.start)
            if stop is not None and self._hides_entry():
                self._give_up()
            elif stop is not None:
                stretch = stretch._replace(start=self._complete(stretch.start + stop, stretch.end))
            elif (behind := self._behind_head(stretch.end)) is not None:
                stretch = stretch._replace(start=behind)
            elif not self._scan.broken:
                self._fed.append(stretch)
                if len(self._fed) >= MAX_RECORDS or stretch.end - self._fed[0].start > MAX_BYTES:
                    self._give_up()
                return
            else:
                self._give_up()
        text = self._text(stretch.start, stretch.end)
        last = len(text.rstrip())
        for piece in cut(text, 0, len(text), self._formats):
            if may_open and piece.reason == "torn" and piece.end >= last and self._open(text, piece, stretch):
                return
            self._add(_moved(piece, stretch.start), stretch.record)

    def _open(self, text: bytes, piece: Piece, stretch: _Stretch) -> bool:
        """Whether the last piece of a record is an object that only lacks its end; then it is held open."""
        brace = text.find(b"{", piece.start)
        scan = Scan()
        if brace < 0 or scan.feed(text, brace, len(text)) is not None or scan.broken:
            return False
        self._scan, self._body = scan, stretch.start + brace
        self._fed = [_Stretch(stretch.start + piece.start, stretch.end, stretch.record)]
        return True

    def _complete(self, stop: int, end: int) -> int:
        """The open object ends at `stop`; gives where its piece does, in a stretch that ends at `end`."""
        first = self._fed[0]
        entry, reason = self._judged(self._text(self._body, stop))
        if self._formats.documents:
            stop += tail_end(text := self._text(stop, end), 0, len(text))
        self._add(Piece(first.start, stop, self._body, entry, reason), first.record)
        self._scan, self._fed = None, []
        return stop

    def _hides_entry(self) -> bool:
        """Whether a line within the open object is an entry by itself: then what stands before it is torn."""
        lines = (self._text(one.start, one.end).strip() for one in self._fed[1:])
        whole = (line for line in lines if line[:1] == b"{" and line[-1:] == b"}")
        return any(self._judged(line)[0] is not None for line in whole)

    def _judged(self, text: bytes) -> tuple[Parsed | None, str]:
        try:
            return self._formats.judge(text), ""
        except RefusedError as refused:
            return None, str(refused.args[0])

    def _behind_head(self, end: int) -> int | None:
        """Where what follows begins, if the open object, read up to `end`, is only what holds entries together."""
        if not self._formats.documents or end - self._body > MAX_HEAD:
            return None
        head = HEAD.match(self._text(self._body, end))
        if head is None or self._formats.hinted.search(head[0]):
            return None
        first, behind = self._fed[0], self._body + head.end()
        self._add(Piece(first.start, behind, first.start, None, BRACKETS), first.record)
        self._scan, self._fed = None, []
        return behind

    def _give_up(self) -> None:
        """The open object never ends: its first record is torn, the others stand for themselves."""
        if self._scan is None:
            return
        (first, *others), self._scan, self._fed = self._fed, None, []
        self._add(Piece(first.start, first.end, first.start, None, "torn"), first.record)
        for other in others:
            self._read(other, may_open=False)


def _moved(piece: Piece, by: int) -> Piece:
    return piece._replace(start=piece.start + by, end=piece.end + by, body=piece.body + by)
