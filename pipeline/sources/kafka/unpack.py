"""Compressed record batches, unpacked piece by piece: a few bytes that would become gigabytes are noticed in time.

The client's own way (3.0.12) unpacks whatever comes, at once.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pipeline.sources.kafka.client import codecs

_PIECE: Final = 1 << 20
_ZSTD_PIECE: Final = 128 << 10  # more room is given back at a price
_own = threading.local()
_XERIAL: Final = b"\x82SNAPPY\x00"  # the Java library's blocks, each behind its length
_XERIAL_HEADER: Final = 16


class OverlongError(Exception):
    """A batch is longer than `limit` when unpacked."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit:,} bytes unpacked")


def unpacked(codec: int, packed: bytes, limit: int) -> bytes:
    """What was packed. Raises OverlongError for more than `limit` bytes, and anything else for what is damaged."""
    pieces: list[bytes] = []
    room = limit
    for piece in _WAYS[codec](packed, limit):
        room -= len(piece)
        if room < 0:
            raise OverlongError(limit)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _gzip(packed: bytes, _limit: int) -> Iterator[bytes]:
    while packed:
        member = zlib.decompressobj(wbits=31)
        rest = packed
        while not member.eof:
            piece = member.decompress(rest, _PIECE)
            if not piece and not member.eof:
                raise EOFError("the end is missing")
            rest = member.unconsumed_tail
            yield piece
        packed = member.unused_data.lstrip(b"\x00")


def _snappy(packed: bytes, limit: int) -> Iterator[bytes]:
    """Each block says how long it becomes; unpacking needs so much at once, so it is looked at before."""
    if not (len(packed) > _XERIAL_HEADER and packed.startswith(_XERIAL)):
        yield _block(packed, limit)
        return
    at = _XERIAL_HEADER
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big", signed=True)
        if size < 0 or at + 4 + size > len(packed):
            raise EOFError("a block is longer than the batch")
        yield _block(packed[at + 4 : at + 4 + size], limit)
        at += 4 + size


def _block(block: bytes, limit: int) -> bytes:
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    if size > limit:
        raise OverlongError(limit)
    plain: bytes = codecs.snappy.decompress(block)
    return plain


def _lz4(packed: bytes, _limit: int) -> Iterator[bytes]:
    frame: Any = codecs.lz4.LZ4FrameDecompressor()
    rest = packed
    while not frame.eof:
        piece = frame.decompress(rest, _PIECE)
        if not piece and not frame.eof and (frame.needs_input or not rest):
            raise EOFError("the end is missing")
        rest = b""
        yield piece


def _zstd(packed: bytes, _limit: int) -> Iterator[bytes]:
    with _zstd_of_thread().stream_reader(packed, read_across_frames=True) as reader:
        while piece := reader.read(_ZSTD_PIECE):
            yield piece


def _zstd_of_thread() -> Any:
    """Made once: for a batch of usual size that is a third of the work."""
    try:
        return _own.zstd
    except AttributeError:
        _own.zstd = codecs.zstd.ZstdDecompressor()
        return _own.zstd


_WAYS: Final[Mapping[int, Callable[[bytes, int], Iterator[bytes]]]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
NAMES: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
