"""An append-only file of lines that survives a crash, a full disk and a rotation by somebody else.

System calls, in order: open O_APPEND|O_NOFOLLOW 0600, flock, cut a torn tail, fsync; per batch: write, fdatasync; on a
failed write: ftruncate to the length before it. Rotation: link the file to its new name, fsync the folder, unlink the
old name, fsync again: at no moment is the file without a name, and no other file is ever replaced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from pipeline.core.clock import Clock
from pipeline.core.disk import sync_folder
from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message

TAIL_BYTES: Final = 4_194_304
KNOWN_MAX: Final = 10_000
_HOUR_NS: Final = 3_600_000_000_000


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Line(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class JsonLines:
    """Skips event ids its file's tail already holds; `torn` and `unreadable` count what it found at opening."""

    def __init__(
        self, path: str, max_bytes: int, max_age_hours: float, wire: Callable[[Message], bytes], clock: Clock
    ) -> None:
        self._path, self._max_bytes = Path(path), max_bytes
        self._period_ns = round(max_age_hours * _HOUR_NS)
        self._wire, self._clock = wire, clock
        self._fd = -1
        self._size = 0
        self._written_ns = 0
        self._known: dict[str, None] = {}
        self.sent = self.skipped = self.rotated = self.torn = self.unreadable = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Append what is new and make it durable. Raises DeliveryError when the disk does not take it."""
        try:
            self._ready()
            fresh = {m.event_id: m for m in messages if m.event_id not in self._known}
            if fresh:
                self._append(b"".join(self._wire(message) for message in fresh.values()))
        except OSError as error:
            self.close()
            raise DeliveryError(f"{self._path} took no line: {error.strerror or type(error).__name__}") from None
        self.sent += len(fresh)
        self.skipped += len(messages) - len(fresh)
        self._remember(fresh)
        return {}

    def close(self) -> None:
        """Close the file; the next `send` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> None:
        if self._fd >= 0 and not self._same_file():
            self.close()
        if self._fd < 0:
            self._open()
        if self._size and (self._size >= self._max_bytes or self._period_over()):
            self._rotate()
            self._open()

    def _period_over(self) -> bool:
        return self._written_ns // self._period_ns < self._clock() // self._period_ns

    def _same_file(self) -> bool:
        try:
            there = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        here = os.fstat(self._fd)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = self._open_locked()
        if os.fstat(fd).st_nlink > 1:  # a crash between link and unlink of a rotation: finish it
            os.close(fd)
            self._path.unlink()
            fd = self._open_locked()
        self._fd = fd
        self._size, self._written_ns = self._recover(fd)
        sync_folder(self._path.parent)

    def _open_locked(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _recover(self, fd: int) -> tuple[int, int]:
        """Cut a line a crash left without its end (its `send` never returned) and learn which event ids are there."""
        status = os.fstat(fd)
        start = max(0, status.st_size - TAIL_BYTES)
        tail = os.pread(fd, status.st_size - start, start)
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            self.torn += 1
            os.ftruncate(fd, start + len(whole))
        os.fsync(fd)  # what is read here counts as delivered, so it must be durable
        lines = whole.split(b"\n")[1 if start else 0 :]
        self._remember(dict.fromkeys(filter(None, map(self._event_id, filter(None, lines)))))
        return start + len(whole), status.st_mtime_ns

    def _event_id(self, line: bytes) -> str:
        try:
            return msgspec.json.decode(line, type=_Line).metadata.uid
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unreadable += 1
            return ""

    def _remember(self, event_ids: Mapping[str, object]) -> None:
        self._known |= dict.fromkeys(event_ids)
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _append(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        self._written_ns = self._clock()

    def _rotate(self) -> None:
        """Give the file the name of its last write, and let go of it."""
        stamp = datetime.fromtimestamp(self._written_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        number = 0
        while True:
            aside = self._path.with_name(f"{self._path.name}.{stamp}{f'.{number}' if number else ''}")
            try:
                os.link(self._path, aside, follow_symlinks=False)
                break
            except FileExistsError:
                number += 1
        sync_folder(self._path.parent)
        self._path.unlink()
        sync_folder(self._path.parent)
        self.close()
        self.rotated += 1
