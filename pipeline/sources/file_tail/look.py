"""One look at a file in place: enough to say whether it is one that is known already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from pipeline.sources.file_tail.readers import (
    foreign_packing,
    head_of,
    packing_of,
    plain_through,
    unpacked_size,
    unpacked_through,
)
from pipeline.sources.identity import Mark

_ALL: Final = 1 << 62


class Look:
    """What a path led to. Contents are read when first asked for, and only from that same inode; raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = Status.of(os.stat(path))

    @cached_property
    def packed(self) -> str:
        return self._contents[0]

    @property
    def head(self) -> bytes:
        """The first bytes, decompressed."""
        return self._contents[1]

    @property
    def foreign(self) -> str:
        """The name of a compression that cannot be read, or ""."""
        return foreign_packing(self.head[:8]) if not self.packed else ""

    @cached_property
    def _contents(self) -> tuple[str, bytes]:
        with self.opened() as fd:
            packed = packing_of(os.pread(fd, 8, 0))
            return packed, head_of(fd, packed)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the very file looked at."""
        fd = open_same(self.path, self.status)
        try:
            yield fd
        finally:
            os.close(fd)

    def is_same_file(self, mark: Mark, read_to: int) -> bool:
        """The file of `mark` under whatever name: same inode, same beginning, what was read last still stands there."""
        status = self.status
        if (status.dev, status.inode) != (mark.dev, mark.inode):
            return False
        if (status.size, status.mtime_ns) == (mark.size, mark.mtime_ns):
            return True
        if self.packed != mark.packed or (not self.packed and status.size < read_to):
            return False
        return (not mark.head_len or mark.head_matches(self.head)) and (bool(self.packed) or self.tail_agrees(mark))

    def holds(self, mark: Mark, offset: int) -> bool:
        """Another file with the content of `mark`: a copy of it, plain or compressed."""
        if not mark.head_matches(self.head):
            return False
        return bool(self.packed) or (self.status.size >= offset and self.tail_agrees(mark))

    def tail_agrees(self, mark: Mark) -> bool:
        """Whether the bytes last read stand there still; of a plain file."""
        with self.opened() as fd:
            return mark.tail_matches(os.pread(fd, mark.tail_len, mark.tail_end - mark.tail_len))

    def adds_nothing(self, mark: Mark, offset: int) -> bool:
        """Whether a compressed file is known to hold nothing past `offset`, without unpacking it.

        Sure only of a file that was read to its end as it stands, or of what was a plain file read to its end: the
        length it tells is then that of its one member.
        """
        if mark.complete and self.status.size == mark.size and self.packed == mark.packed:
            return True
        if mark.packed or mark.size != offset:
            return False
        with self.opened() as fd:
            return unpacked_size(fd, self.packed, self.status.size) == offset

    def repeats(self, other: Look) -> bool:
        """Whether `other` holds all of this: a copy, or a compressed copy in the making."""
        return bool(self.head) and self.begins(other)

    def begins(self, other: Look) -> bool:
        """Whether `other` begins with what this holds: its first and its last bytes, and no more of them."""
        if not other.head.startswith(self.head):
            return False
        length, last = self._through(_ALL)  # first this, then the other: that one may be growing
        return other._through(length) == (length, last)

    def _through(self, count: int) -> tuple[int, bytes]:
        """How many of the first `count` bytes there are, decompressed, and the last of them."""
        if self.packed:
            return _unpacked(self.path, self.status, self.packed, count)
        with self.opened() as fd:
            return plain_through(fd, count)


@lru_cache(maxsize=256)
def _unpacked(path: str, status: Status, packed: str, count: int) -> tuple[int, bytes]:
    """See Look._through. Unpacked once for as long as the file stays as it is: it is looked at again and again."""
    fd = open_same(path, status)
    try:
        return unpacked_through(fd, packed, count)
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Status:
    """Of os.stat what matters here."""

    dev: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> Status:
        return cls(result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns)

    def same_file(self, other: Status) -> bool:
        return (self.dev, self.inode) == (other.dev, other.inode)


class MovedError(Exception):
    """The path leads to another file than it did: look again."""


def open_same(path: str, status: Status) -> int:
    """Open the file that `status` was taken of. Raises MovedError when it is gone or replaced, else OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MovedError(path) from error
    if Status.of(os.fstat(fd)).same_file(status):
        return fd
    os.close(fd)
    raise MovedError(path)
