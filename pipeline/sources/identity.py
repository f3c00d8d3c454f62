"""What is remembered of a physical file, so that it is known again after a rename, a copy or a restart.

A file is its head before it is its inode (V12 of integrity/README.md). A device number changes with a reboot and an
inode is given out again, but no two audit logs begin with the same 4096 bytes. `Mark` is what a position's state holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.errors import SourceError

if TYPE_CHECKING:
    from pipeline.core.model import Position

HEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class Mark:
    """State of one file at one batch; all of it survives JSON. Offsets are in the decompressed stream."""

    file_generation: str = ""  # the partition: names the content, whatever the file is called
    generation: int = 0  # counts the files of a stream in the order they were begun
    dev: int = 0
    inode: int = 0
    size: int = 0  # on disk, when last looked at
    mtime_ns: int = 0
    packed: str = ""  # gz, zst
    head_len: int = 0
    head_sha256: str = ""
    tail_end: int = 0  # tail_sha256 is over the tail_len bytes before this offset
    tail_len: int = 0
    tail_sha256: str = ""
    block_end: int = 0  # the block being read holds records that begin before this offset
    block_done: bool = False
    complete: bool = False  # read to its end, which a compressed file does not move again
    path: str = ""

    def state(self) -> dict[str, Any]:
        """For RawBatch.state and Position.state."""
        return asdict(self)

    def head_matches(self, head: bytes) -> bool:
        """Whether `head` (the first bytes of some file) continues what this file began with."""
        return 0 < self.head_len <= len(head) and digest(head[: self.head_len]) == self.head_sha256

    def tail_matches(self, tail: bytes) -> bool:
        """Whether the bytes that end at `tail_end` are those that were read there."""
        return not self.tail_len or digest(tail) == self.tail_sha256


def mark_of(position: Position) -> Mark:
    """The mark in a position's state. Raises SourceError when the state is of another make."""
    known = {name: position.state[name] for name in Mark.__dataclass_fields__ if name in position.state}
    mark = Mark(**known)
    wrong = [name for name, value in asdict(mark).items() if type(value) is not type(getattr(Mark(), name))]
    if wrong:
        raise SourceError(f"position of {position.stream}: state {', '.join(wrong)} cannot be read")
    return mark


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def partition_of(head: bytes, taken: Iterable[str]) -> str:
    """A name for a file by its first line: the same however far the file had grown when it was first seen.

    Two files of a stream that begin with the same line get different names: the later one a number.
    """
    line, _, _ = head.partition(b"\n")
    name = digest(line)[:32]
    names = set(taken)
    if name not in names:
        return name
    return next(f"{name}-{n}" for n in range(2, len(names) + 3) if f"{name}-{n}" not in names)
