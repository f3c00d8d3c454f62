"""Record batches (magic 2) cut into values, many at a time, in place of one Python object per record.

The client fetches, tracks positions and knows which transactions were aborted; its `PartitionRecords` is asked for
records one by one. `Batches` takes that place and gives `Chunk`s. Format: Apache Kafka, "Message format", and KIP-98.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from pipeline.sources.kafka.chunk import Chunk, Hole, Overlong, chunk_of
from pipeline.sources.kafka.client import (
    CorruptRecordError,
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
    MemoryRecords,
    PartitionRecords,
)
from pipeline.sources.kafka.unpack import NAMES, OverlongError, unpacked

CHUNK_BYTES: Final = 4 << 20
MAX_BATCH_BYTES: Final = 256 << 20
_MOST_ROWS: Final = 1 << 16  # of one overlong batch: how many records it has is only its own word
Value = memoryview | None


def split(batch: Any, limit: int = MAX_BATCH_BYTES) -> tuple[list[Value], list[int]]:
    """Values and offset deltas of one batch's records.

    Raises CorruptRecordError where it is not what it says it is, OverlongError where it unpacks to more than `limit`.
    """
    try:
        data, at = bytes(batch._buffer), batch._pos  # noqa: SLF001  the client's batch offers no other way to its bytes
        if codec := batch.compression_type:
            batch._assert_has_codec(codec)  # noqa: SLF001
            data, at = unpacked(codec, data[at:], limit), 0
        values, deltas, end = _records(data, at, batch.records_count)
    except (AttributeError, TypeError):
        raise  # the client is another one than this was written for
    except (OverlongError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  each codec has its own way to complain; all are told as one
        raise CorruptRecordError(f"a batch cannot be taken apart: {type(error).__name__}") from None
    if end != len(data):
        raise CorruptRecordError(f"{len(data) - end} bytes behind the last record of a batch")
    return values, deltas


def _records(data: bytes, at: int, count: int) -> tuple[list[Value], list[int], int]:
    """Walk over `count` records from byte `at`: length, attributes, time, offset, key, value, headers.

    Numbers of one or two bytes, which nearly all are, are read in place: a call for each would double the time.
    """
    view = memoryview(data)
    values: list[Value] = []
    deltas: list[int] = []
    for _ in range(count):
        low, high = data[at], data[at + 1]
        if low >= 0x80 > high:
            number = low & 0x7F | high << 7
            length, at = (number >> 1) ^ -(number & 1), at + 2
        else:
            length, at = _varint(data, at)
        end = at + length
        at += 1  # attributes, none of which is in use
        while data[at] & 0x80:  # time
            at += 1
        at += 1
        if (low := data[at]) < 0x80:
            delta, at = (low >> 1) ^ -(low & 1), at + 1
        else:
            delta, at = _varint(data, at)
        if (low := data[at]) < 0x80:
            size, at = (low >> 1) ^ -(low & 1), at + 1
        else:
            size, at = _varint(data, at)
        if size > 0:
            at += size
        low, high = data[at], data[at + 1]
        if low >= 0x80 > high:
            number = low & 0x7F | high << 7
            size, at = (number >> 1) ^ -(number & 1), at + 2
        else:
            size, at = _varint(data, at)
        if at + max(size, 0) >= end or end > len(data) or length < 0:
            raise CorruptRecordError("a record's parts are longer than the record")
        values.append(view[at : at + size] if size >= 0 else None)
        deltas.append(delta)
        at = end
    return values, deltas, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zig-zag number and the place behind it."""
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
        if shift > 63:
            raise CorruptRecordError("a number in a record is too long")


class Batches(PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one answer of the broker, as chunks of about CHUNK_BYTES."""

    limit = MAX_BATCH_BYTES

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[Chunk]:
        gathered = _Gathered(self.fetch_offset)
        batch = records.next_batch()
        while batch is not None:
            self._check(tp, batch)
            gathered.pass_over(batch)
            if not self._unseen(batch):
                gathered.add(batch, self.fetch_offset, self.limit)
            batch = records.next_batch()
            if gathered.size >= CHUNK_BYTES or batch is None:
                self.bytes_read += gathered.size
                self.records_read += len(gathered.values)
                self.next_fetch_offset = gathered.next
                if gathered.values or gathered.holes:
                    yield gathered.chunk(self.leader_epoch)
                gathered = _Gathered(gathered.next)
        self.drain()

    def _maybe_skip_record(self, record: Chunk) -> bool:  # noqa: ARG002  chunks begin at the position already
        return False

    def _check(self, tp: Any, batch: Any) -> None:
        if self.check_crcs and not batch.validate_crc():
            raise CorruptRecordError(f"{tp.topic}/{tp.partition}: the batch at {batch.base_offset} fails its checksum")

    def _unseen(self, batch: Any) -> bool:
        """Whether a reader of what is committed is not to see the batch: a marker, or of an aborted transaction."""
        if batch.magic < 2:
            return False
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == 1 and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def batches(limit: int) -> type[Batches]:
    """The class for batches that may be `limit` bytes unpacked: the client makes its own instances."""
    return type("LimitedBatches", (Batches,), {"limit": limit})


class _Gathered:
    """Values of several batches, until there are enough of them."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.size = 0
        self.values: list[Value] = []
        self.offsets: list[int] = []
        self.holes: list[Hole] = []
        self.overlong: dict[int, Overlong] = {}

    def pass_over(self, batch: Any) -> None:
        """Note where the batch lies, and what is missing before it."""
        if batch.magic < 2:
            return
        if batch.base_offset > self.next:
            self.holes.append(Hole(self.next, batch.base_offset - 1))
        self.next = max(self.next, batch.next_offset)

    def add(self, batch: Any, first: int, limit: int) -> None:
        """Take the batch's records from offset `first` on."""
        try:
            values, offsets = _legacy(batch) if batch.magic < 2 else _current(batch, limit)
        except OverlongError as error:
            self._add_overlong(batch, first, str(error))
            return
        if batch.magic >= 2 and len(offsets) <= batch.last_offset_delta:
            self.holes += _absent(batch, offsets, first)
        if offsets and offsets[0] < first:
            kept = [row for row, offset in enumerate(offsets) if offset >= first]
            values, offsets = [values[row] for row in kept], [offsets[row] for row in kept]
        self.values += values
        self.offsets += offsets
        self.size += sum(len(value) for value in values if value is not None)
        if offsets:
            self.next = max(self.next, offsets[-1] + 1)

    def _add_overlong(self, batch: Any, first: int, why: str) -> None:
        """In place of each record of a batch that is not unpacked: what it was.

        The first one stands for all where their offsets are not known for sure, or too many.
        """
        packed = bytes(batch._buffer)[batch._pos :]  # noqa: SLF001
        size, digest, low, high = len(packed), hashlib.sha256(packed).digest(), batch.base_offset, batch.last_offset
        count = high - low + 1
        one_each = count == batch.records_count and count <= _MOST_ROWS
        name = f"{NAMES[batch.compression_type]} batch sha256 {digest.hex()}"
        text = f"{name}, {size:,} bytes, {why}, offsets {low} to {high}"
        for offset in range(max(low, first), high + 1 if one_each else max(low, first) + 1):
            self.overlong[len(self.values)] = size, digest
            self.values.append(memoryview(text.encode()))
            self.offsets.append(offset)
        self.size += len(text) * count if one_each else len(text)

    def chunk(self, leader_epoch: int) -> Chunk:
        offsets = np.array(self.offsets, np.int64)
        return chunk_of(self.values, offsets, self.next, self.holes, leader_epoch, self.overlong)


def _current(batch: Any, limit: int) -> tuple[list[Value], list[int]]:
    values, deltas = split(batch, limit)
    base = batch.base_offset
    return values, [base + delta for delta in deltas]


def _absent(batch: Any, offsets: list[int], first: int) -> list[Hole]:
    """Offsets of the batch from `first` on that have no record any more."""
    bounds = [batch.base_offset - 1, *offsets, batch.last_offset + 1]
    between = [(max(low + 1, first), high - 1) for low, high in itertools.pairwise(bounds)]
    return [Hole(low, high) for low, high in between if low <= high]


def _legacy(batch: Any) -> tuple[list[Value], list[int]]:
    """Message formats 0 and 1, which brokers before 0.11 wrote: by the client's own records."""
    records = list(batch)
    return [None if r.value is None else memoryview(r.value) for r in records], [r.offset for r in records]


def works() -> bool:
    """Whether `split` sees in a batch made by the client what the client sees in it; the client's parts may change."""
    made = DefaultRecordBatchBuilder(
        magic=2, compression_type=1, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for offset, value in enumerate((b"a", None, b"", b"x" * 300)):
        made.append(offset, 1_000 + offset, b"key", value, [("h", b"v")] * offset)
    body = bytes(made.build())
    try:
        values, deltas = split(MemoryRecords(body).next_batch())
    except (AttributeError, TypeError, CorruptRecordError):
        return False
    theirs = list(DefaultRecordBatch(memoryview(body)))
    return [v if v is None else bytes(v) for v in values] == [r.value for r in theirs] and deltas == [
        r.offset for r in theirs
    ]
