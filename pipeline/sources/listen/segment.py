"""One file of a spool: whole lines from a place of the stream on, and beside it what is known of lines cut short."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from pipeline.core.disk import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.sources.listen.framing import Long

NAME: Final = re.compile(r"[0-9]{20}\.log")
_LONG_SUFFIX: Final = ".long"
_MODE: Final = 0o600
_LF: Final = b"\n"

Longs = dict[int, tuple[int, bytes]]  # place in the stream -> size and SHA-256 of all of the line


class Segment:
    """`base` is the place of its first byte in the stream. One process writes it, with O_APPEND."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = int(path.stem)
        self.size = path.stat().st_size
        self.longs: Longs = {}
        self._noted = False  # since the last sync
        self._fd = -1

    @classmethod
    def new(cls, folder: Path, base: int) -> Segment:
        """An empty one."""
        path = folder / f"{base:020d}.log"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MODE))
        sync_folder(folder)
        return cls(path)

    @property
    def end(self) -> int:
        """The place behind its last byte."""
        return self.base + self.size

    @property
    def _beside(self) -> Path:
        return self.path.with_suffix(_LONG_SUFFIX)

    def take_up(self, *, ended: bool) -> None:
        """Go on with what an earlier run wrote. Where it had not `ended`, a line that its death cut off is ended now,
        so that nothing is glued to it.
        """
        if not ended and self.size:
            if self._bytes(self.size - 1, 1) != _LF:
                self.append(_LF, ())
            self.sync()  # the next file's name counts on it
        with suppress(FileNotFoundError):
            for text in self._beside.read_bytes().split(_LF):
                self._take_note(text)

    def _take_note(self, text: bytes) -> None:
        """One note. It holds if the line is there as it was kept: a death may have come between the two."""
        try:
            at, kept, size, sha256 = json.loads(text)
            digest, place = bytes.fromhex(sha256), int(at) - self.base
            ended = place >= 0 and self._bytes(place + int(kept), 1) == _LF
            ended = ended and (not place or self._bytes(place - 1, 1) == _LF)
        except (ValueError, TypeError, OverflowError, OSError):
            return
        if ended:
            self.longs[int(at)] = int(size), digest

    def append(self, data: bytes | bytearray, longs: Sequence[Long]) -> None:
        """Whole lines: all of them, or none and OSError."""
        fd = self._opened()
        try:
            _write(fd, data)
            if longs:
                self._note(longs)
        except OSError:
            os.ftruncate(fd, self.size)
            raise
        for long in longs:
            self.longs[self.end + long.at] = long.size, long.sha256
        self.size += len(data)

    def _note(self, longs: Sequence[Long]) -> None:
        rows = [[self.end + long.at, long.kept, long.size, long.sha256.hex()] for long in longs]
        text = b"".join(_LF + json.dumps(row).encode() for row in rows) + _LF  # a row that was cut off spoils no other
        self._noted = True
        with opened(self._beside, os.O_CREAT | os.O_APPEND | os.O_WRONLY) as fd:
            _write(fd, text)

    def handle(self) -> int:
        """A descriptor of its own for whoever syncs it beside a writer."""
        return os.dup(self._opened())

    def sync(self) -> None:
        """Returns when it is on the disk."""
        os.fsync(self._opened())
        self.sync_notes()

    def sync_notes(self) -> None:
        """Returns when what is known of its long lines is on the disk."""
        if self._noted:
            self._noted = False
            with opened(self._beside, os.O_RDONLY) as fd:
                os.fsync(fd)
            sync_folder(self.path.parent)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Take it off the disk."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)

    def _opened(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        return self._fd

    def _bytes(self, place: int, count: int) -> bytes:
        return os.pread(self._opened(), count, place)


def _write(fd: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor for a moment."""
    fd = os.open(path, flags | os.O_CLOEXEC, _MODE)
    try:
        yield fd
    finally:
        os.close(fd)
