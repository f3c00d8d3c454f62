"""A producer that costs next to nothing: record batches made once, patched and packed anew for each sending.

The client's producer takes half a core at 20,000 entries a second, which on a machine of two is no load but a rival.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.sources.kafka import client as _quiet  # noqa: F401  the client warns of itself when it is first imported

from kafka.codec import zstd_encode  # isort: skip
from kafka.protocol.producer import ProduceRequest, ProduceResponse  # isort: skip
from kafka.record.default_records import DefaultRecordBatchBuilder  # isort: skip
from kafka.record.util import calc_crc32c  # isort: skip

Bytes = npt.NDArray[np.uint8]
Record = tuple[bytes, bytes]  # key, value

HEADER: Final = DefaultRecordBatchBuilder.HEADER_STRUCT
VERSION: Final = 9


class Template:
    """A batch whose time texts and request ids are replaced before each sending.

    `records` are two to a request, one after the other, with the request's id for key; every value has `time` in it
    once, and the id.
    """

    def __init__(self, records: Sequence[Record], time: bytes) -> None:
        body = built(records)
        self._body = np.frombuffer(body, np.uint8)
        self._count = len(records)
        self._times = _places(body, time)
        self._ids = np.stack([_places(body, key) for key, _ in records[::2]])
        assert len(self._times) == self._count, "a time text for each record"
        assert self._ids.shape[1] == 4, "two records with a key and an id each"

    @property
    def pairs(self) -> int:
        """How many requests it holds."""
        return self._count // 2

    def batch(self, time: bytes, ids: Sequence[bytes], now_ms: int) -> bytes:
        """The record batch with these, packed by zstd."""
        body = self._body.copy()
        body[self._times] = np.frombuffer(time, np.uint8)
        body[self._ids] = np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), 1, -1)
        return packed(body.tobytes(), self._count, now_ms)


def packed(body: bytes, count: int, now_ms: int) -> bytes:
    """A record batch around packed records (KIP-98, message format 2)."""
    data = zstd_encode(body)
    of = DefaultRecordBatchBuilder
    size = HEADER.size + len(data) - of.AFTER_LEN_OFFSET
    head = HEADER.pack(0, size, -1, 2, 0, of.CODEC_ZSTD, count - 1, now_ms, now_ms, -1, -1, -1, count)
    batch = bytearray(head + data)
    struct.pack_into(">I", batch, of.CRC_OFFSET, calc_crc32c(memoryview(batch)[of.ATTRIBUTES_OFFSET :]))
    return bytes(batch)


def built(records: Sequence[Record]) -> bytes:
    """Records as the client writes them, neither packed nor with their header."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
    for offset, (key, value) in enumerate(records):
        builder.append(offset, 0, key, value, [])
    return bytes(builder.build())[HEADER.size :]


class Connection:
    """To the one broker there is; what is sent is acknowledged before the next is."""

    def __init__(self, address: str, topic: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 30)
        self._topic = topic
        self._number = 0

    def send(self, batches: Sequence[tuple[int, bytes]]) -> None:
        """One batch for each partition. RuntimeError for what the broker refuses."""
        topic: Any = ProduceRequest.TopicProduceData
        parts = [topic.PartitionProduceData(index=number, records=batch) for number, batch in batches]
        request = ProduceRequest(
            transactional_id=None, acks=1, timeout_ms=30_000,
            topic_data=[topic(name=self._topic, partition_data=parts)], version=VERSION,
        )  # fmt: skip
        self._number += 1
        request.with_header(self._number, "keytrail-bench")
        self._socket.sendall(request.encode(header=True, framed=True))
        (size,) = struct.unpack(">i", self._exactly(4))
        answer: Any = ProduceResponse.decode(self._exactly(size), version=VERSION, header=True)
        codes = {part.error_code for each in answer.responses for part in each.partition_responses}
        if codes != {0}:
            raise RuntimeError(f"the broker refused a batch: {codes}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data)) or _gone()
        return data


def _gone() -> bytes:
    raise RuntimeError("the broker hung up")


def _places(body: bytes, text: bytes) -> npt.NDArray[np.int64]:
    """The place of each byte of each occurrence of a text: a row an occurrence."""
    starts = [found.start() for found in re.finditer(re.escape(text), body)]
    return np.array(starts, np.int64)[:, None] + np.arange(len(text))
