"""Bytes of a plain, gzip or zstd file, in order, into a buffer that is given: never more than that at a time."""

from __future__ import annotations

import os
import zlib
from typing import IO, Final, Protocol, cast

import zstandard

from pipeline.sources.identity import HEAD
from pipeline.sources.records import CHUNK, TRAIL

_INPUT: Final = 1 << 17
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_WINDOW: Final = 1 << 27  # a frame may not ask for more memory than this (`zstd --long=27`)
_FOREIGN: Final = {b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4", b"PK\x03\x04": "zip"}


class DamagedError(Exception):
    """A compressed file is broken here. `fault` is `truncated` (it just ends) or `unreadable` (it is wrong)."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class Reader(Protocol):
    """`read` fills the start of the view and returns how many bytes; 0 at the end. Raises DamagedError, OSError."""

    def read(self, view: memoryview) -> int: ...


class Plain:
    """The bytes as they stand, from an offset on."""

    def __init__(self, fd: int, offset: int = 0) -> None:
        self._fd = fd
        self._at = offset

    def read(self, view: memoryview) -> int:
        got = os.preadv(self._fd, [view], self._at)
        self._at += got
        return got


class Gzip:
    """Gzip members one after the other (RFC 1952); checksums and lengths are verified by zlib."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._input = b""
        self._inflater = zlib.decompressobj(wbits=31)
        self._begun = False

    def read(self, view: memoryview) -> int:
        while self._refill():
            try:
                out = self._inflater.decompress(self._input, len(view))
            except zlib.error as error:
                raise DamagedError("unreadable") from error
            self._begun = True
            self._input = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._inflater, self._begun = zlib.decompressobj(wbits=31), False
            if out:
                view[: len(out)] = out
                return len(out)
        return 0

    def _refill(self) -> bool:
        """Have input; false at the end of the file. Zero padding between members is passed over."""
        while True:
            if not self._begun:
                self._input = self._input.lstrip(b"\0")
            if self._input:
                return True
            self._input = os.pread(self._fd, _INPUT, self._at)
            self._at += len(self._input)
            if not self._input:
                if self._begun:
                    raise DamagedError("truncated")
                return False


class Zstd:
    """Zstandard frames one after the other (RFC 8878)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._stream = unpacker.stream_reader(
            cast(IO[bytes], _Bytes(fd)), read_size=_INPUT, read_across_frames=True, closefd=False
        )

    def read(self, view: memoryview) -> int:
        try:
            got = self._stream.readinto(view)
        except zstandard.ZstdError as error:
            raise DamagedError("unreadable") from error
        if not got and not _frames_end(self._fd):
            raise DamagedError("truncated")
        return got


class Careful:
    """Unpacks up to the very place where a file is damaged: the libraries drop what one call made before it failed.

    After a failure it begins again, passes what was delivered, and goes on in small steps, at last byte by byte.
    """

    def __init__(self, fd: int, packed: str) -> None:
        self._fd = fd
        self._packed = packed
        self._steps = [CHUNK, HEAD, 1]
        self._at = 0
        self._unpacker = self._begin()

    def read(self, view: memoryview) -> int:
        try:
            got = self._unpacker.read(view[: self._steps[0]])
        except DamagedError as damaged:
            if damaged.fault == "truncated" or len(self._steps) == 1:
                raise
            self._steps.pop(0)
            self._unpacker = self._begin()
            skip(self._unpacker, self._at)
            return self.read(view)
        self._at += got
        return got

    def _begin(self) -> Reader:
        return Gzip(self._fd) if self._packed == "gz" else Zstd(self._fd)


class _Sound:
    """Ends where a file is damaged: whoever reads on to that place meets it again, and reports it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, view: memoryview) -> int:
        try:
            return self._reader.read(view)
        except DamagedError:
            return 0


class _Bytes:
    """A file object over pread, so that a descriptor can serve several readers."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data


def _frames_end(fd: int) -> bool:
    """Whether the file ends where a frame ends: the decompressor itself does not tell (RFC 8878 section 3.1)."""
    at, size = 0, os.fstat(fd).st_size
    while at < size:
        head = os.pread(fd, 8, at)
        if len(head) < 8:
            return False
        if head[:4] == _ZSTD:
            at = _after_blocks(fd, at, head[4])
        else:  # a skippable frame: magic, length
            at += 8 + int.from_bytes(head[4:], "little")
    return at == size


def _after_blocks(fd: int, at: int, descriptor: int) -> int:
    """Where the frame at `at` ends."""
    single = bool(descriptor & 0x20)
    at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + (int(single), 2, 4, 8)[descriptor >> 6]
    last = False
    while not last:
        block = int.from_bytes(os.pread(fd, 3, at).ljust(3, b"\xff"), "little")  # past the end: last, and too long
        last = bool(block & 1)
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
    return at + (4 if descriptor & 4 else 0)


def packing_of(start: bytes) -> str:
    """`gz`, `zst` or "" by the first bytes of a file: a name proves nothing."""
    if start.startswith(_GZIP):
        return "gz"
    skippable = len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50
    return "zst" if start.startswith(_ZSTD) or skippable else ""


def foreign_packing(start: bytes) -> str:
    """The name of a compression that is not read here, or ""."""
    return next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), "")


def reader_of(fd: int, packed: str) -> Reader:
    """A reader at the first byte."""
    return Careful(fd, packed) if packed else Plain(fd)


def head_of(fd: int, packed: str) -> bytes:
    """The first bytes, at most HEAD; fewer where the file is shorter or damaged before that."""
    if not packed:
        return os.pread(fd, HEAD, 0)
    reader, buffer, got = _Sound(reader_of(fd, packed)), bytearray(HEAD), 0
    while got < HEAD and (more := reader.read(memoryview(buffer)[got:])):
        got += more
    return bytes(buffer[:got])


def skip(reader: Reader, count: int) -> tuple[int, bytes]:
    """Read past `count` bytes: how many there were, and the last of them (at most TRAIL)."""
    buffer = memoryview(bytearray(CHUNK))
    done, trail = 0, b""
    while done < count:
        got = reader.read(buffer[: min(CHUNK, count - done)])
        if not got:
            break
        done += got
        trail = (trail + bytes(buffer[max(got - TRAIL, 0) : got]))[-TRAIL:]
    return done, trail


def plain_through(fd: int, count: int) -> tuple[int, bytes]:
    """How many of the first `count` bytes there are, and the last of them (at most TRAIL)."""
    there = min(os.fstat(fd).st_size, count)
    return there, os.pread(fd, min(TRAIL, there), max(there - TRAIL, 0))


def unpacked_through(fd: int, packed: str, count: int) -> tuple[int, bytes]:
    """The same of a compressed file, by unpacking it: what it says of its length proves nothing."""
    return skip(_Sound(reader_of(fd, packed)), count)


def unpacked_size(fd: int, packed: str, size: int) -> int | None:
    """What the file says its decompressed length is, where it says so cheaply; a gzip file modulo 2**32."""
    if packed == "gz" and size >= 18:
        return int.from_bytes(os.pread(fd, 4, size - 4), "little")
    if packed == "zst":
        told = zstandard.frame_content_size(os.pread(fd, 18, 0))
        return told if told >= 0 else None
    return None
