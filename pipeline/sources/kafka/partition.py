"""One partition that is being read: where to begin, what its log shows to be wrong, and the cutting of batches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.core.errors import SourceError
from pipeline.core.model import Lost, Oversize, Position, RawBatch
from pipeline.sources.kafka.chunk import Chunk, Hole, digests, joined
from pipeline.sources.kafka.mark import Digests, Identity, Mark, changed, mark_of, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

PROVEN, COMPACTED, UNKNOWN = (
    "delete",
    "compact",
    "",
)  # what a hole in the offsets proves, by the topic's clean-up policy
_ALL: Final = 1 << 62
_BATCH_BYTES: Final = 16 << 20  # small chunks are handed out together, up to about this
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
    first: int  # what is compared begins here
    found: list[tuple[int, bytes]] = field(default_factory=list)


class Partition:
    """Chunks go in by `put`, batches come out by `take`. The caller keeps threads apart."""

    def __init__(self, identity: Identity, policy: str, check_records: int) -> None:
        self.identity, self.policy = identity, policy
        self.read_to = -1  # the log is read up to here; -1 before it is known where to begin
        self.until: int | None = None  # a run that ends reads up to here
        self.end = 0  # of the log, as far as is known
        self.buffered = 0
        self.paused = False
        self.last_news = 0.0
        self._check_records = check_records
        self._items: deque[Chunk | Told] = deque()  # what is to be handed out, in order
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
        return self._finished and not self._items

    @property
    def lag(self) -> int:
        """Offsets known to be there and not handed out; markers count."""
        chunks = self._front()
        return max(self.end - (int(chunks[0].offsets[0]) if chunks else max(self.read_to, 0)), 0)

    @property
    def has_news(self) -> bool:
        """Whether there is something to hand out."""
        if not self._items or self._check is not None:
            return False
        chunks = self._front()
        return sum(map(len, chunks)) > self._refused or len(chunks) < len(self._items) or self._finished

    @property
    def _finished(self) -> bool:
        return self.until is not None and self.read_to >= self.until and self._check is None

    def _front(self) -> list[Chunk]:
        """The chunks before the next fault."""
        chunks: list[Chunk] = []
        for item in self._items:
            if isinstance(item, Told):
                break
            chunks.append(item)
        return chunks

    def begin(self, position: Position | None, before: Position | None, bounds: Bounds) -> int:
        """Decide where to read from: the offset to seek to. `before` is the position of an earlier life."""
        self._check = None
        if position is None:
            if before is not None:
                note = f"the topic was deleted and made again; its earlier life was read up to offset {before.offset}"
                self._items.append(Told("topic_recreated", Lost(0, 0, 1, note, bounds.start)))
            return self._go(bounds.start)
        offset = position.offset
        if offset < bounds.start:
            return self.overtaken(offset, bounds.start)
        if offset > bounds.end:
            return self.cut_off(offset, bounds.end)
        mark = mark_of(position)
        if not mark.tail or mark.tail_end > bounds.end or self.policy == COMPACTED:
            return self._go(offset)
        self._check = _Check(mark, max(mark.tail_first, bounds.start))
        return self._go(offset, min(self._check.first, offset))

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
        return self.cut_off(offset, bounds.end) if offset > bounds.end else self._go(offset)

    def overtaken(self, offset: int, start: int) -> int:
        """Records before `start` were deleted before they could be read."""
        note = f"offsets {offset} to {start - 1} were deleted before they were read: retention, or DeleteRecords"
        self._items.append(Told("retention", Lost(offset, start - 1, start - offset, note, start)))
        return self._go(start)

    def cut_off(self, offset: int, end: int) -> int:
        """The log ends before what was read of it."""
        note = f"the log ends at offset {end}, after offset {offset - 1} was read: its end was cut off"
        self._items.append(Told("log_truncated", Lost(end, offset - 1, offset - end, note, end)))
        return self._go(end)

    def _go(self, offset: int, seek: int | None = None) -> int:
        """Hand out records from `offset` on, reading from `seek` on."""
        self._refused = self._want = 0
        self.read_to, self._next = offset if seek is None else seek, offset
        return self.read_to

    def put(self, chunk: Chunk) -> int | None:
        """Take what the client brought; an offset to seek to when that turns out to be no continuation."""
        self.read_to = chunk.after
        self._epoch = max(self._epoch, chunk.leader_epoch)
        if self._check is not None:
            low, high = np.searchsorted(chunk.offsets, [self._check.first, self._check.mark.tail_end])
            self._check.found += digests(chunk, range(int(low), int(high)))
            if (back := self._judge()) is not None:
                return back
        self._note_holes(chunk.holes)
        first = int(np.searchsorted(chunk.offsets, self._next))
        if first < len(chunk):
            self._items.append(chunk.cut(first, len(chunk)))
            self._measure()
        return None

    def _measure(self) -> None:
        self.buffered = sum(len(item.data) for item in self._items if isinstance(item, Chunk))

    def passed(self, offset: int) -> int | None:
        """Nothing but markers and aborted records lies before `offset`. See `put`."""
        if offset <= self.read_to:
            return None
        self.read_to = offset
        return self._judge() if self._check is not None else None

    def _note_holes(self, holes: Sequence[Hole]) -> None:
        if self.policy == COMPACTED:
            return
        for hole in holes:
            if hole.last >= self._next:
                first = max(hole.first, self._next)
                note = f"no record batch covers offsets {first} to {hole.last}"
                cause = "gap" if self.policy == PROVEN else "gap_in_doubt"
                self._items.append(Told(cause, Lost(first, hole.last, hole.last - first + 1, note)))

    def _judge(self) -> int | None:
        """Compare what was read again with what was read before, once all of it has come.

        Where it differs, what stands there now has never been read: reading begins there.
        """
        assert self._check is not None  # noqa: S101  callers have just looked
        check, mark = self._check, self._check.mark
        if self.read_to < mark.tail_end:
            return None
        self._check = None
        at = changed(mark, check.first, check.found)
        if at is None:
            self._tail.extend(check.found)
            return None
        note = f"from offset {at} on, the records up to {mark.tail_end - 1} are not those that were read there"
        cause = "history_changed" if self.policy == PROVEN else "history_in_doubt"
        resume = min(at, self._next)
        self._items.clear()  # nothing was handed out before the comparison
        self._items.append(Told(cause, Lost(at, mark.tail_end - 1, mark.tail_end - at, note, resume)))
        return self._go(resume)

    def take(self, limit: int | None, ingest_ns: int, size: int = _BATCH_BYTES) -> RawBatch:
        """The next batch, of about `size` bytes at most; a fault is a batch of its own."""
        if isinstance(self._items[0], Told):
            return self._fault(self._items.popleft(), ingest_ns)
        chunks = self._front()
        wanted = _ALL if limit is None else max(limit, self._want)
        count = rows = there = fitting = 0
        while count < len(chunks) and (not count or (rows < wanted and (there < size or rows <= self._refused))):
            fitting += int(np.searchsorted(chunks[count].ends, size - there))
            rows, there = rows + len(chunks[count]), there + len(chunks[count].data)
            count += 1
        chunk = joined(self._next_rows(count, min(wanted, max(fitting, self._want, 1))))
        self._measure()
        self._refused = self._want = 0
        last = isinstance(self._items[0], Told) if self._items else self._finished
        return self._batch(chunk, ingest_ns, final=last)

    def _next_rows(self, count: int, wanted: int) -> list[Chunk]:
        """Take `wanted` rows of the first `count` chunks, or all that there are; what is left of the last stays."""
        taken: list[Chunk] = []
        for _ in range(count):
            chunk = self._items.popleft()
            assert isinstance(chunk, Chunk)  # noqa: S101  the caller has counted them
            if wanted < len(chunk):
                self._items.appendleft(chunk.cut(wanted, len(chunk)))
                chunk = chunk.cut(0, wanted)
            taken.append(chunk)
            if not (wanted := wanted - len(chunk)):
                break
        return taken

    def _batch(self, chunk: Chunk, ingest_ns: int, *, final: bool) -> RawBatch:
        stream = self.identity.stream
        after = chunk.offsets + 1
        self._tail.extend(digests(chunk, range(max(len(chunk) - self._check_records, 0), len(chunk))))
        return RawBatch(
            stream, stream, self.identity.partition, chunk.data, chunk.starts, chunk.ends, chunk.offsets, after,
            ingest_ns, self._mark(int(after[-1])).state(), _oversize(chunk), final, refused=chunk.refused,
        )  # fmt: skip

    def _mark(self, end: int) -> Mark:
        tail: Digests = [item for item in self._tail if item[0] < end] if self._check_records else ()
        first = tail[0][0] if tail else end
        return Mark(self.identity.cluster, self.identity.topic_id, self._epoch, first, end, packed(tail))

    def _fault(self, told: object, ingest_ns: int) -> RawBatch:
        assert isinstance(told, Told)  # noqa: S101  the caller has just looked
        stream = self.identity.stream
        end = self._next if told.lost is None or told.lost.resume is None else told.lost.resume
        return RawBatch(
            stream, stream, self.identity.partition, np.zeros(0, np.uint8), _NONE, _NONE, _NONE, _NONE, ingest_ns,
            self._mark(end).state(), fault=told.cause, lost=told.lost,
        )  # fmt: skip

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """Take back records that the decoder could not finish; they come again with more behind them."""
        left = len(batch) - consumed
        if left and batch.final and not consumed:
            raise SourceError(f"{batch.stream}: the decoder did not finish the record at {int(batch.positions[0])}")
        whole = Chunk(
            batch.data, batch.starts, batch.ends, batch.positions, int(batch.after[-1]), dict(batch.refused), (),
            self._epoch, {one.record: (one.size, one.sha256) for one in batch.oversize},
        )  # fmt: skip
        self._items.appendleft(whole.cut(consumed, len(batch)))
        self._measure()
        for _ in range(min(left, len(self._tail))):
            self._tail.pop()
        self._refused, self._want = left, 2 * len(batch)


def _oversize(chunk: Chunk) -> tuple[Oversize, ...]:
    return tuple(Oversize(row, *what) for row, what in sorted(chunk.overlong.items()))
