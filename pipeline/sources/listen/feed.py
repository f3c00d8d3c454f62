"""The reader's side of one spool: batches of whole lines from a place on, and what is known to be missing between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.core.errors import SourceError
from pipeline.core.model import Lost, Oversize, Position, RawBatch
from pipeline.sources.identity import digest
from pipeline.sources.records import ROWS, TRAIL, Cutter

if TYPE_CHECKING:
    from pipeline.sources.listen.dropped import Dropped
    from pipeline.sources.listen.spool import Spool

BLOCK: Final = 16 << 20  # bytes of one batch, about
_ALL: Final = 1 << 62
_NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a position remembers of the bytes before it; survives JSON."""

    tail_len: int = 0
    tail_sha256: str = ""

    @classmethod
    def of(cls, tail: bytes) -> Mark:
        return cls(len(tail), digest(tail))

    def state(self) -> Mapping[str, int | str]:
        """For RawBatch.state and Position.state."""
        return {"tail_len": self.tail_len, "tail_sha256": self.tail_sha256}


class Feed:
    """One stream. `position` is where the lake has got to in this spool, `before` says that it knows an earlier one."""

    def __init__(
        self, stream: str, spool: Spool, dropped: Dropped, cap: int, position: Position | None, *, before: bool
    ) -> None:
        self.stream, self._spool, self._dropped, self._cap = stream, spool, dropped, cap
        self._told: list[tuple[str, Lost]] = []
        self._gap = (-1, 0)  # where datagrams were lost last, and how many
        self._mark = Mark()
        self._cutter = Cutter(spool.begin, cap)
        if position is not None:
            self._resume(position)
        elif before:
            note = "the spool is another one than before: what the earlier one held and was not read is missing"
            self._told.append(("recreated", Lost(spool.begin, spool.begin, 1, note, spool.begin)))

    def _resume(self, position: Position) -> None:
        """Go on from there, and tell in what the spool is not as it was left."""
        place, spool = position.offset, self._spool
        self._mark = Mark(**{name: position.state[name] for name in self._mark.state() if name in position.state})
        if place > spool.end:
            note = f"the spool ends at {spool.end}, after {place - 1} was read: its end was cut off"
            self._told.append(("truncated", Lost(spool.end, place - 1, 1, note, place)))
            spool.skip_to(place)
        elif not self._as_read(place):
            note = f"the bytes before {place} are not those that were read there"
            self._told.append(("altered", Lost(max(place - self._mark.tail_len, 0), place - 1, 1, note, place)))
        spool.committed(place)
        self._cutter = Cutter(place, self._cap)

    def _as_read(self, place: int) -> bool:
        """Whether the bytes before `place` are as they were; also where they are gone."""
        first = place - self._mark.tail_len
        if first < self._spool.begin:
            return True
        tail = b""
        while len(tail) < self._mark.tail_len:
            buffer = memoryview(bytearray(self._mark.tail_len - len(tail)))
            if not (got := self._spool.read(buffer, first + len(tail))):
                return True
            tail += buffer[:got]
        return not tail or Mark.of(tail) == self._mark

    @property
    def has_news(self) -> bool:
        """Whether `take` has something to give."""
        return bool(self._told) or self._cutter.position < self._spool.end or self._dropped.untold(time.monotonic())

    @property
    def behind(self) -> bool:
        """Whether there are lines to read."""
        return self._cutter.position < self._spool.end

    def take(self, limit: int | None, ingest_ns: int) -> RawBatch:
        """The next batch. What is missing is told in a batch of its own."""
        self._pass_missing()
        if self._told:
            return self._fault(*self._told.pop(0), ingest_ns)
        if self._dropped.untold(time.monotonic()):
            return self._fault("gap", self._lost_datagrams(), ingest_ns)
        cutter = self._cutter
        cutter.fill(self._read, cutter.cut_to + BLOCK, limit or ROWS, self._spool.end - cutter.read_to)
        if not cutter.rows(_ALL) and self._spool.next_begin(cutter.read_to) > cutter.read_to:
            cutter.finish()  # the file was cut back within a line: what is left of it is not glued to the next file's
        rows = cutter.rows(_ALL)
        if not rows:
            raise SourceError(f"the spool {self._spool.folder} was changed while it was read")
        return self._batch(rows if limit is None else min(rows, limit), ingest_ns)

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """See ports.Source."""
        self._cutter.back(len(batch) - consumed)

    def _lost_datagrams(self) -> Lost:
        """Those lost at one place are one gap, however often it is told."""
        place, count = self._cutter.position, self._dropped.tell()
        self._gap = (place, count + (self._gap[1] if self._gap[0] == place else 0))
        return Lost(place, place, self._gap[1], f"{self._gap[1]} datagrams came and could not be taken in", place)

    def _read(self, view: memoryview) -> int:
        return self._spool.read(view, self._cutter.read_to)

    def _pass_missing(self) -> None:
        """Go on behind files that somebody took away."""
        place = self._cutter.position
        if self._cutter.rows(_ALL) or (behind := self._spool.next_begin(place)) == place:
            return
        note = f"the spool's bytes from {place} to {behind - 1} are not there any more"
        self._told.append(("gap", Lost(place, behind - 1, 1, note, behind)))
        self._cutter, self._mark = Cutter(behind, self._cap), Mark()

    def _batch(self, count: int, ingest_ns: int) -> RawBatch:
        cut = self._cutter.take(count)
        self._mark = Mark.of(cut.trail[-TRAIL:])
        longs = self._spool.longs(int(cut.positions[0]), int(cut.positions[-1]))
        short = [
            Oversize(int(np.searchsorted(cut.positions, at)), size, sha256) for at, (size, sha256) in longs.items()
        ]
        oversize = sorted([*cut.oversize, *short], key=lambda one: one.record)
        return RawBatch(
            self.stream, self.stream, self._spool.identity, cut.data, cut.starts, cut.ends, cut.positions, cut.after,
            ingest_ns, self._mark.state(), oversize, alone=True,
        )  # fmt: skip

    def _fault(self, cause: str, lost: Lost, ingest_ns: int) -> RawBatch:
        return RawBatch(
            self.stream, self.stream, self._spool.identity, np.zeros(0, np.uint8), _NONE, _NONE, _NONE, _NONE,
            ingest_ns, self._mark.state(), fault=cause, lost=lost, alone=True,
        )  # fmt: skip
