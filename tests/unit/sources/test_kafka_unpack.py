"""Record batches that become far longer than they are: told by name, in bounded memory, their neighbours intact."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from crc32c import crc32c

from pipeline.core.model import Position, RawBatch
from pipeline.decoders import vault
from pipeline.sources.kafka import splitter
from pipeline.sources.kafka.chunk import Chunk
from pipeline.sources.kafka.client import CorruptRecordError, MemoryRecords, codecs
from pipeline.sources.kafka.mark import Identity
from pipeline.sources.kafka.partition import PROVEN, Bounds, Partition
from pipeline.sources.kafka.unpack import OverlongError, unpacked
from tests.decoding import seen
from tests.unit.decoders.test_vault_framing import entry, told_of
from tests.unit.sources.test_kafka_splitter import CODECS, TP, batch

MIB = 1 << 20
PACKED = {name: codec for name, codec in CODECS.items() if codec}
HEADER = 61
each_codec = pytest.mark.parametrize("codec", PACKED.values(), ids=PACKED)


def chunks_of(data: bytes, first: int, limit: int) -> list[Chunk]:
    return splitter.batches(limit)(first, TP, MemoryRecords(data), isolation_level=1).take()


def bombed(codec: int, size: int = 32 * MIB) -> tuple[bytes, bytes]:
    """Entries 1 and 2 at offsets 5 and 8, a bomb of two records between them; and the bomb as it is packed."""
    bomb = batch([(None, b"x" * size, [], 1), (None, b"y", [], 1)], base=6, codec=codec)
    parts = [batch([(None, entry(1), [], 1)], base=5), bomb, batch([(None, entry(2), [], 1)], base=8)]
    return b"".join(parts), bomb[HEADER:]


def handed_out(chunks: list[Chunk]) -> RawBatch:
    part = Partition(Identity("cluster", "id", "audit", 0), PROVEN, 64)
    part.begin(None, None, Bounds(5, 9))
    for chunk in chunks:
        assert part.put(chunk) is None
    return part.take(None, 7)


@each_codec
def test_a_bomb_is_told_and_costs_nothing(codec: int) -> None:
    """Each offset of it is refused as oversize, with size and SHA-256 of the batch; entries around it are read."""
    data, packed = bombed(codec)
    tracemalloc.start()
    try:
        chunks = chunks_of(data, 5, 4 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(data) + 12 * MIB
    raw = handed_out(chunks)
    digest = hashlib.sha256(packed)
    assert [(o.record, o.size, o.sha256) for o in raw.oversize] == [(n, len(packed), digest.digest()) for n in (1, 2)]
    assert digest.hexdigest() in raw.record(1).decode()[:200]
    assert raw.after.tolist() == [6, 7, 8, 9]
    pieces = seen(raw, vault.create(vault.Config()).decode(raw))
    assert [told_of(piece) for piece in pieces] == [(5, "id-1"), (6, "oversize"), (7, "oversize"), (8, "id-2")]


@each_codec
def test_what_fits_is_unpacked(codec: int) -> None:
    """The limit is what may come out: so many bytes are taken, one fewer allowed and they are not."""
    text = bytes(range(256)) * 20_000
    encode = {1: codecs.gzip_encode, 2: codecs.snappy_encode, 3: codecs.lz4_encode, 4: codecs.zstd_encode}[codec]
    packed = bytes(encode(text))
    assert unpacked(codec, packed, len(text)) == text
    with pytest.raises(OverlongError):
        unpacked(codec, packed, len(text) - 1)
    if codec == 2:
        assert unpacked(codec, codecs.snappy_encode(text, xerial_compatible=False), len(text)) == text


def test_reading_begins_inside_of_it() -> None:
    """Of a batch that is begun in the middle only the offsets from there on are told."""
    chunks = chunks_of(bombed(4)[0][len(batch([(None, entry(1), [], 1)])) :], 7, MIB)
    assert np.concatenate([chunk.offsets for chunk in chunks]).tolist() == [7, 8]


def test_a_count_that_is_a_bomb_itself() -> None:
    """A batch that claims two thousand million records is told once, and reading goes on behind all of them."""
    bomb = bytearray(batch([(None, b"x" * 2 * MIB, [], 1)], codec=4))
    struct.pack_into(">i", bomb, 23, 2**31 - 2)
    struct.pack_into(">i", bomb, 57, 2**31 - 1)
    struct.pack_into(">I", bomb, 17, crc32c(bytes(bomb[21:])))
    (chunk,) = chunks_of(bytes(bomb), 0, MIB)
    assert (chunk.offsets.tolist(), chunk.after, chunk.holes) == ([0], 2**31 - 1, ())


def test_a_limit_that_is_raised_later() -> None:
    """What was not unpacked when it was read is no changed history when it is; another record beside it is."""
    raw = handed_out(chunks_of(bombed(4, 2 * MIB)[0], 5, MIB))
    for size, limit, begun in ((2 * MIB, 4 * MIB, None), (2 * MIB, MIB, None)):
        part = Partition(Identity("cluster", "id", "audit", 0), PROVEN, 64)
        seek = part.begin(Position(raw.stream, raw.partition, 9, dict(raw.state)), None, Bounds(5, 9))
        assert seek == 5
        assert [part.put(chunk) for chunk in chunks_of(bombed(4, size)[0], 5, limit)] == [begun]
    other = b"".join(
        [batch([(None, entry(3), [], 1)], base=5), bombed(4, 2 * MIB)[0][len(batch([(None, entry(1), [], 1)])) :]]
    )
    part = Partition(Identity("cluster", "id", "audit", 0), PROVEN, 64)
    part.begin(Position(raw.stream, raw.partition, 9, dict(raw.state)), None, Bounds(5, 9))
    assert part.put(chunks_of(other, 5, MIB)[0]) == 5


def test_given_back_it_comes_again() -> None:
    """A batch that the decoder gives back brings the same records again, the overlong ones among them."""
    part = Partition(Identity("cluster", "id", "audit", 0), PROVEN, 64)
    part.begin(None, None, Bounds(5, 9))
    for chunk in chunks_of(bombed(4, 2 * MIB)[0], 5, MIB):
        part.put(chunk)
    raw = part.take(3, 7)
    part.rewind(raw, 1)
    again = part.take(None, 7)
    assert [(o.record, o.size, o.sha256) for o in again.oversize] == [
        (o.record - 1, o.size, o.sha256) for o in raw.oversize
    ]


def test_no_memory_is_no_bad_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that runs out is told as that, not as a batch that is damaged."""

    def out_of_memory(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(splitter, "unpacked", out_of_memory)
    with pytest.raises(MemoryError) as caught:
        chunks_of(bombed(1, MIB)[0], 5, MIB)
    assert not isinstance(caught.value, CorruptRecordError)
