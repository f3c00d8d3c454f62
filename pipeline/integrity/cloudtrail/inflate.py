"""Gzip objects, inflated as a stream: of any size, in bounded memory, and whatever the bytes."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.integrity.cloudtrail.causes import Fault

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MAX_DIGEST: Final = 64 << 20  # bytes inflated; a digest of 100,000 logs has 40 MB
MAX_LOG: Final = 128 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS
_READ: Final = 1 << 18
_STEP: Final = 1 << 22  # bytes inflated at a time


@dataclass(frozen=True, slots=True)
class Inflated:
    """The contents of the first gzip member of an object."""

    data: bytearray
    sha256: bytes
    trailing: int | None  # the first byte of the object after that member, where there is one


def inflate(path: Path, limit: int) -> Inflated | Fault:
    """The contents of a gzip object, at most `limit` bytes; else what is wrong with it."""
    try:
        with path.open("rb") as stream:
            return _inflate(stream, limit)
    except zlib.error as error:
        return Fault("invalid_format", f"not gzip: {str(error)[:80]}")
    except OSError as error:
        return Fault("unreadable", type(error).__name__)


def _inflate(stream: BinaryIO, limit: int) -> Inflated | Fault:
    engine, data, read = zlib.decompressobj(_GZIP), bytearray(), 0
    while not engine.eof:
        piece = engine.unconsumed_tail
        if not piece:
            piece = stream.read(_READ)
            read += len(piece)
        if not piece:
            return Fault("invalid_format", f"the gzip stream ends early, at byte {read}", read)
        data += engine.decompress(piece, _STEP)
        if len(data) > limit:
            return Fault("too_large", f"more than {limit} bytes from the first {read - len(engine.unconsumed_tail)}")
    rest = len(engine.unused_data)
    more = rest > 0 or stream.read(1) != b""
    return Inflated(data, hashlib.sha256(data).digest(), read - rest if more else None)
