"""The splitter sees in a record batch what the client's own records see in it, and refuses what is no batch."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.sources import kafka as source
from pipeline.sources.kafka import splitter
from pipeline.sources.kafka.chunk import Chunk, Hole
from pipeline.sources.kafka.client import (
    CorruptRecordError,
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
    MemoryRecords,
    PartitionRecords,
    TopicPartition,
)

TP = TopicPartition("audit", 0)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]

values = st.none() | st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"v" * size)
headers = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=200)), max_size=3)
records = st.lists(
    st.tuples(st.none() | st.binary(max_size=200), values, headers, st.integers(0, 2**45)), min_size=1, max_size=20
)


def batch(
    some: list[Record], *, base: int = 0, codec: int = 0, producer: int = -1, transactional: bool = False
) -> bytes:
    """A batch as a broker hands it out, at offset `base`."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=transactional, producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1, base_sequence=0 if producer >= 0 else -1, batch_size=1 << 26,
    )  # fmt: skip
    for offset, (key, value, named, time) in enumerate(some):
        assert builder.append(offset, time, key, value, named) is not None
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, base)
    return bytes(made)


def control(base: int, producer: int, *, commit: bool) -> bytes:
    """The marker that ends a transaction."""
    made = bytearray(batch([(struct.pack(">hh", 0, int(commit)), b"\x00\x00\x00\x00\x00\x00", [], 1)], base=base))
    struct.pack_into(">h", made, 21, 0x30)
    struct.pack_into(">qhi", made, 43, producer, 0, -1)
    struct.pack_into(">I", made, 17, crc32c(bytes(made[21:])))
    return bytes(made)


class Aborted:
    """What the fetch answer tells of an aborted transaction."""

    def __init__(self, producer_id: int, first_offset: int) -> None:
        self.producer_id, self.first_offset = producer_id, first_offset


def by_client(data: bytes, first: int, aborted: list[Aborted]) -> tuple[list[tuple[int, bytes | None]], int]:
    """(offset, value) and the next offset, as the client's own class gives them."""
    part = PartitionRecords(first, TP, MemoryRecords(data), isolation_level=1, aborted_transactions=aborted)
    return [(record.offset, record.value) for record in part.take()], part.next_fetch_offset


def by_splitter(data: bytes, first: int, aborted: list[Aborted]) -> tuple[list[Chunk], int]:
    part = splitter.Batches(first, TP, MemoryRecords(data), isolation_level=1, aborted_transactions=aborted)
    return part.take(), part.next_fetch_offset


def told(chunks: list[Chunk]) -> list[tuple[int, bytes]]:
    return [(int(chunk.offsets[row]), chunk.value(row)) for chunk in chunks for row in range(len(chunk))]


def without_line_end(value: bytes | None) -> bytes:
    text = value or b""
    return text[:-1].removesuffix(b"\r") if text.endswith(b"\n") else text


@given(records, st.sampled_from(sorted(CODECS)), st.integers(0, 2**40))
def test_one_batch(some: list[Record], codec: str, base: int) -> None:
    """Values and offsets of any batch are those of the client's records, whatever keys, headers, times and codec."""
    data = batch(some, base=base, codec=CODECS[codec])
    theirs, next_offset = by_client(data, base, [])
    chunks, ours = by_splitter(data, base, [])
    assert told(chunks) == [(offset, without_line_end(value)) for offset, value in theirs]
    assert ours == next_offset
    nulls = {offset for offset, value in theirs if value is None}
    refused = {int(c.offsets[row]): why for c in chunks for row, why in c.refused.items()}
    assert {offset for offset, why in refused.items() if why == "null_value"} == nulls
    assert all(not dict(told(chunks))[offset].strip(b" \t\r\n") for offset in refused)


@given(st.data())
def test_many_batches(data: st.DataObject) -> None:
    """Over many batches with transactions, markers and a start in the middle, both see the same records."""
    parts, aborted, base, bounds = [], [], 0, [0]
    for number in range(data.draw(st.integers(1, 6))):
        some = data.draw(st.lists(st.tuples(st.none(), st.binary(max_size=40), headers, st.just(1)), min_size=1))
        kind = data.draw(st.sampled_from(["plain", "commit", "abort"]))
        producer = -1 if kind == "plain" else 1000 + number
        parts.append(batch(some, base=base, producer=producer, transactional=kind != "plain"))
        if kind == "abort":
            aborted.append(Aborted(producer, base))
        base += len(some)
        if kind != "plain":
            parts.append(control(base, producer, commit=kind == "commit"))
            base += 1
        bounds.append(base)
    first = data.draw(st.integers(0, base - 1))
    whole = b"".join(parts)
    theirs, next_offset = by_client(whole, first, list(aborted))
    chunks, ours = by_splitter(whole, first, list(aborted))
    assert told(chunks) == [(offset, without_line_end(value)) for offset, value in theirs]
    assert ours == next_offset == base
    assert not [hole for chunk in chunks for hole in chunk.holes]


def test_large_answers_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is cut into chunks of bounded size, in order, and the position moves with each."""
    monkeypatch.setattr(splitter, "CHUNK_BYTES", 100)
    whole = b"".join(batch([(None, b"x" * 60, [], 1)], base=base) for base in range(10))
    part = splitter.Batches(0, TP, MemoryRecords(whole), isolation_level=1)
    seen = []
    while part:
        for chunk in part.take(1):
            assert part.next_fetch_offset == chunk.after
            seen.append(chunk.offsets.tolist())
    assert seen == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_holes_between_and_inside_batches() -> None:
    """Offsets that no batch covers, and records gone from inside one, are told; those before the start are not."""
    sparse = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for offset in (0, 3):
        sparse.append(offset, 1, None, b"v", [])
    inside = bytearray(sparse.build())
    struct.pack_into(">q", inside, 0, 20)
    whole = batch([(None, b"v", [], 1)] * 3, base=5) + batch([(None, b"v", [], 1)], base=10) + bytes(inside)
    chunks, after = by_splitter(whole, 6, [])
    assert after == 24
    assert [hole for chunk in chunks for hole in chunk.holes] == [Hole(8, 9), Hole(11, 19), Hole(21, 22)]


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_flipped_bit_is_no_batch(place: int, bits: int) -> None:
    """Damage to what the checksum covers is an error, never another value."""
    data = bytearray(batch([(b"k", b"value of a record" * 3, [("h", b"v")], 7)] * 4))
    place = 21 + place % (len(data) - 21)
    data[place] ^= bits
    with pytest.raises(CorruptRecordError):
        by_splitter(bytes(data), 0, [])


@given(st.integers(0, 300), st.integers(1, 255))
def test_damage_under_a_right_checksum_never_gives_more_than_there_is(place: int, bits: int) -> None:
    """A batch that was made wrong on purpose is refused, or gives values out of its own bytes, as the client would."""
    data = bytearray(batch([(b"k", b"value of a record" * 3, [("h", b"v")], 7)] * 4))
    place = 61 + place % (len(data) - 61)
    data[place] ^= bits
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    try:
        chunks, _ = by_splitter(bytes(data), 0, [])
    except CorruptRecordError:
        return
    assert sum(len(value) for _, value in told(chunks)) <= len(data)


def test_it_notices_a_client_that_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose batches can no longer be split, or are split otherwise, is noticed before anything is read."""
    assert splitter.works()
    monkeypatch.delattr(DefaultRecordBatch, "compression_type")
    assert not splitter.works()
    monkeypatch.undo()
    monkeypatch.setattr(splitter, "split", lambda batch: ([b"a"], [0]))
    assert not splitter.works()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_cannot_be_unpacked_is_corrupt(codec: str) -> None:
    """A compressed batch that is cut off, under a checksum that fits, is refused as corrupt, whatever its codec."""
    data = bytearray(batch([(None, b"value of a record" * 30, [], 7)] * 4, codec=CODECS[codec])[:-9])
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    with pytest.raises(CorruptRecordError):
        by_splitter(bytes(data), 0, [])


def test_slow_checksums_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the native CRC-32C the source does not start, and says what to install."""
    monkeypatch.setattr(source, "fast_checksums", lambda: False)
    with pytest.raises(ConfigError, match="crc32c"):
        source.create(source.Config(), ["127.0.0.1:1"], ["t"], "g", follow=False, clock=lambda: 0)


def test_offsets_are_64_bit() -> None:
    """Offsets beyond what 32 bits hold come out whole."""
    chunks, after = by_splitter(batch([(None, b"v", [], 1)], base=2**40), 2**40, [])
    assert chunks[0].offsets.dtype == np.int64
    assert after == 2**40 + 1
