"""One partition that is being read: where to begin, what its log shows to be wrong, and the cutting of batches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.core.errors import SourceError
from pipeline.core.model import Lost, Position, RawBatch
from pipeline.sources.kafka.chunk import Chunk, Hole, digests, joined
from pipeline.sources.kafka.mark import Digests, Identity, Mark, mark_of, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

PROVEN, COMPACTED, UNKNOWN = (
    "delete",
    "compact",
    "",
)  # what a hole in the offsets proves, by the topic's clean-up policy
_NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the broker says of a log: first offset, and the one behind the last that may be read."""

    start: int
    end: int


@dataclass(slots=True)
class Told:
    """A fault that waits to be told before the next record."""

    cause: str
    lost: Lost | None = None


@dataclass(slots=True)
class _Check:
    """Records before the position that are read once more."""

    mark: Mark
    found: list[tuple[int, bytes]] = field(default_factory=list)


class Partition:
    """Chunks go in by `put`, batches come out by `take`. The caller keeps threads apart."""

    def __init__(self, identity: Identity, policy: str, check_records: int) -> None:
        self.identity, self.policy = identity, policy
        self.read_to = -1  # the log is read up to here; -1 before it is known where to begin
        self.until: int | None = None  # a run that ends reads up to here
        self.buffered = 0
        self.paused = False
        self.last_news = 0.0
        self._check_records = check_records
        self._chunks: deque[Chunk] = deque()
        self._faults: deque[Told] = deque()
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=max(check_records, 1))
        self._refused = self._want = 0
        self._next = 0  # the first record to be handed out is here or later
        self._check: _Check | None = None
        self._epoch = -1

    @property
    def placed(self) -> bool:
        """Whether it is known where to read."""
        return self.read_to >= 0

    @property
    def ended(self) -> bool:
        """A run that ends has read all of it, and all of it is handed out."""
        return self.until is not None and self.read_to >= self.until and not self._chunks and not self._faults

    @property
    def has_news(self) -> bool:
        """Whether there is something to hand out."""
        rows = sum(map(len, self._chunks))
        return bool(self._faults) or (rows > self._refused) or (rows > 0 and self._finished)

    @property
    def _finished(self) -> bool:
        return self.until is not None and self.read_to >= self.until

    def begin(self, position: Position | None, before: Position | None, bounds: Bounds) -> int:
        """Decide where to read from: the offset to seek to. `before` is the position of an earlier life."""
        self._check = None
        if position is None:
            if before is not None:
                note = f"the topic was deleted and made again; its earlier life was read up to offset {before.offset}"
                self._faults.append(Told("topic_recreated", Lost(0, 0, 1, note)))
            return self._go(bounds.start, bounds.start)
        offset = position.offset
        if offset < bounds.start:
            return self.overtaken(offset, bounds.start)
        if offset > bounds.end:
            return self.cut_off(offset, bounds.end)
        mark = mark_of(position)
        kept = bounds.start <= mark.tail_first and mark.tail_end <= bounds.end
        if not (kept and mark.tail_sha256) or self.policy == COMPACTED:
            return self._go(offset, offset)
        self._check = _Check(mark)
        return self._go(min(mark.tail_first, offset), offset)

    @property
    def reached(self) -> Position:
        """How far this life of the partition was read."""
        return Position(self.identity.stream, self.identity.partition, max(self.read_to, 0))

    def lost_place(self, bounds: Bounds, diverged: int | None) -> int:
        """The broker no longer has the offset that was to be read next, or has another log from `diverged` on.

        The offset to seek to.
        """
        self._check = None
        offset = max(self.read_to, self._next)
        if diverged is not None and diverged < offset:
            return self.cut_off(offset, max(diverged, bounds.start))
        if offset < bounds.start:
            return self.overtaken(offset, bounds.start)
        return self.cut_off(offset, bounds.end) if offset > bounds.end else self._go(offset, offset)

    def overtaken(self, offset: int, start: int) -> int:
        """Records before `start` were deleted before they could be read."""
        note = f"offsets {offset} to {start - 1} were deleted before they were read: retention, or DeleteRecords"
        self._faults.append(Told("retention", Lost(offset, start - 1, start - offset, note)))
        return self._go(start, start)

    def cut_off(self, offset: int, end: int) -> int:
        """The log ends before what was read of it."""
        note = f"the log ends at offset {end}, after offset {offset - 1} was read: its end was cut off"
        self._faults.append(Told("log_truncated", Lost(end, offset - 1, offset - end, note)))
        return self._go(end, end)

    def _go(self, seek: int, hand_out: int) -> int:
        self._chunks.clear()
        self._tail.clear()
        self.buffered = self._refused = self._want = 0
        self.read_to, self._next = seek, hand_out
        return seek

    def put(self, chunk: Chunk) -> None:
        """Take what the client brought."""
        self.read_to = chunk.after
        self._epoch = max(self._epoch, chunk.leader_epoch)
        if self._check is not None:
            self._compare(chunk)
        self._note_holes(chunk.holes)
        first = int(np.searchsorted(chunk.offsets, self._next))
        if first < len(chunk):
            kept = chunk.cut(first, len(chunk))
            self._chunks.append(kept)
            self.buffered += len(kept.data)

    def passed(self, offset: int) -> None:
        """Nothing but markers and aborted records lies before `offset`."""
        if offset > self.read_to:
            self.read_to = offset
            if self._check is not None:
                self._judge()

    def _note_holes(self, holes: Sequence[Hole]) -> None:
        if self.policy == COMPACTED:
            return
        for hole in holes:
            if hole.last >= self._next:
                first = max(hole.first, self._next)
                note = f"no record batch covers offsets {first} to {hole.last}"
                cause = "gap" if self.policy == PROVEN else "gap_in_doubt"
                self._faults.append(Told(cause, Lost(first, hole.last, hole.last - first + 1, note)))

    def _compare(self, chunk: Chunk) -> None:
        """Gather the records that were read before, and compare once all have come."""
        assert self._check is not None  # noqa: S101  the caller has just looked
        mark = self._check.mark
        low, high = np.searchsorted(chunk.offsets, [mark.tail_first, mark.tail_end])
        self._check.found += digests(chunk, range(int(low), int(high)))
        self._judge()

    def _judge(self) -> None:
        assert self._check is not None  # noqa: S101  callers have just looked
        mark, found = self._check.mark, self._check.found
        if self.read_to < mark.tail_end:
            return
        self._check = None
        if seal(found) != mark.tail_sha256:
            note = (
                f"the records from offset {mark.tail_first} to {mark.tail_end - 1} are not those that were read there"
            )
            lost = Lost(mark.tail_first, mark.tail_end - 1, mark.tail_end - mark.tail_first, note)
            self._faults.append(Told("history_changed" if self.policy == PROVEN else "history_in_doubt", lost))
        self._tail.extend(found)

    def take(self, limit: int | None, ingest_ns: int) -> RawBatch:
        """The next batch; a fault is a batch of its own, before the records."""
        if self._faults:
            return self._fault(self._faults.popleft(), ingest_ns)
        wanted = max(1 if limit is None else limit, self._want, 1)
        taken = [self._chunks.popleft()]
        while len(self._chunks) and sum(map(len, taken)) < wanted and (self._refused or limit is not None):
            taken.append(self._chunks.popleft())
        chunk = joined(taken)
        if limit is not None and len(chunk) > wanted:
            self._chunks.appendleft(chunk.cut(wanted, len(chunk)))
            chunk = chunk.cut(0, wanted)
        self.buffered = sum(len(c.data) for c in self._chunks)
        self._refused = self._want = 0
        return self._batch(chunk, ingest_ns, final=self._finished and not self._chunks)

    def _batch(self, chunk: Chunk, ingest_ns: int, *, final: bool) -> RawBatch:
        stream = self.identity.stream
        after = chunk.offsets + 1
        self._tail.extend(digests(chunk, range(max(len(chunk) - self._check_records, 0), len(chunk))))
        return RawBatch(
            stream, stream, self.identity.partition, chunk.data, chunk.starts, chunk.ends, chunk.offsets, after,
            ingest_ns, self._mark(int(after[-1])).state(), (), final, refused=chunk.refused,
        )  # fmt: skip

    def _mark(self, end: int) -> Mark:
        tail: Digests = tuple(self._tail) if self._check_records else ()
        first = tail[0][0] if tail else end
        sealed = seal(tail) if tail else ""
        return Mark(self.identity.cluster, self.identity.topic_id, self._epoch, first, end, sealed)

    def _fault(self, told: Told, ingest_ns: int) -> RawBatch:
        stream = self.identity.stream
        return RawBatch(
            stream, stream, self.identity.partition, np.zeros(0, np.uint8), _NONE, _NONE, _NONE, _NONE, ingest_ns,
            fault=told.cause, lost=told.lost,
        )  # fmt: skip

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """Take back records that the decoder could not finish; they come again with more behind them."""
        left = len(batch) - consumed
        if left and batch.final and not consumed:
            raise SourceError(f"{batch.stream}: the decoder did not finish the record at {int(batch.positions[0])}")
        whole = Chunk(
            batch.data, batch.starts, batch.ends, batch.positions, int(batch.after[-1]), dict(batch.refused), (),
            self._epoch,
        )  # fmt: skip
        self._chunks.appendleft(whole.cut(consumed, len(batch)))
        self.buffered += len(self._chunks[0].data)
        for _ in range(min(left, len(self._tail))):
            self._tail.pop()
        self._refused, self._want = left, 2 * len(batch)
