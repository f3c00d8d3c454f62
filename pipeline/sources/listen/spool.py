"""What one listener took, on disk until it is committed: a log in files that are named by their first byte's place.

A place counts bytes from the spool's beginning and is given once: a file that is removed takes its places with it. The
receiver's thread writes, the reader's reads and syncs, the line's says what is committed; one lock serves them all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from pipeline.core import faults
from pipeline.core.disk import sync_folder
from pipeline.core.errors import SourceError
from pipeline.sources.listen.segment import NAME, Segment, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.sources.listen.framing import Chunk
    from pipeline.sources.listen.segment import Longs

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_ID: Final = "id"
_ID_BYTES: Final = 16


class FullError(Exception):
    """There is no room: on the disk, or in what the spool may take of it."""


class Spool:
    """`begin` to `end` are the places that it holds. Raises SourceError for a folder that cannot be one."""

    def __init__(
        self, folder: Path, *, file_bytes: int, spool_bytes: int, keep_seconds: float,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._file_bytes, self._most, self._keep, self._steady = file_bytes, spool_bytes, keep_seconds, steady
        self._lock = threading.Lock()
        self._lock_fd = -1
        self._segments: list[Segment] = []
        self._committed = 0
        self._since: dict[int, float] = {}  # when each file, by its base, was first seen to be committed whole
        try:
            self._begin()
        except OSError as error:
            self.close()
            raise SourceError(f"the spool {folder} cannot be used: {error.strerror}") from error
        except SourceError:
            self.close()
            raise
        self._synced = self.end

    def _begin(self) -> None:
        """Take the folder, and what an earlier run left in it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"another process uses the spool {self.folder}") from None
        self._segments = [Segment(path) for path in sorted(self.folder.iterdir()) if NAME.fullmatch(path.name)]
        self.identity = self._identity()
        for segment in self._segments:
            segment.take_up(ended=segment is not self._segments[-1])
        for before, behind in zip(self._segments, self._segments[1:], strict=False):
            if behind.base < before.end:
                raise SourceError(f"{behind.path} begins within {before.path}: one of them is not as it was written")
            before.close()
        if not self._segments or self._segments[-1].size:
            self._add(self._segments[-1].end if self._segments else 0)

    def _identity(self) -> str:
        """The spool's own name; a new one where none of its files is left."""
        path = self.folder / _ID
        if path.exists() and self._segments:
            name = path.read_text("ascii", "replace").strip()
            if len(name) == 2 * _ID_BYTES and name.isalnum():
                return name
        name = secrets.token_hex(_ID_BYTES)
        fresh = path.with_suffix(".new")
        with opened(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY) as fd:
            os.write(fd, name.encode())
            os.fsync(fd)
        fresh.replace(path)
        sync_folder(self.folder)
        return name

    @property
    def begin(self) -> int:
        return self._segments[0].base

    @property
    def end(self) -> int:
        return self._segments[-1].end

    @property
    def waiting(self) -> int:
        """Bytes that are not committed yet."""
        return max(self.end - max(self._committed, self.begin), 0)

    def append(self, chunk: Chunk, *, beyond: bool = False) -> None:
        """Put lines behind the others. Raises FullError, with nothing written, and OSError.

        With `beyond` they may take more than the spool's share of the disk: what cannot be left where it is.
        """
        with self._lock:
            try:
                if not beyond:
                    self._make_room(len(chunk.data))
                if self._segments[-1].size >= self._file_bytes:
                    self._turn()
                self._segments[-1].append(chunk.data, chunk.long)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise FullError from None
                raise
        faults.point("listen.written")

    def has_room(self) -> bool:
        """Whether a line can be put behind the others."""
        with self._lock:
            try:
                self._make_room(1)
            except (FullError, OSError):
                return False
        return True

    def sync(self) -> None:
        """Returns when all that was appended before is on the disk. Raises OSError."""
        with self._lock:
            end, live = self.end, self._segments[-1]
            if self._synced == end:
                return
            handle = live.handle()
        try:
            os.fsync(handle)
            live.sync_notes()
        finally:
            os.close(handle)
        with self._lock:
            self._synced = max(self._synced, end)
        faults.point("listen.synced")

    def read(self, view: memoryview, place: int) -> int:
        """What stands from `place` on, of one file; 0 at the end, and where a file is missing. Raises OSError."""
        with self._lock:
            segment = self._holding(place)
            if segment is None:
                return 0
            count, path = min(segment.end - place, len(view)), segment.path
        with opened(path, os.O_RDONLY) as fd:
            return os.preadv(fd, [view[:count]], place - segment.base)

    def next_begin(self, place: int) -> int:
        """Where reading goes on: at `place`, or behind what is missing there."""
        with self._lock:
            if self._holding(place) is not None:
                return place
            return min((one.base for one in self._segments if one.base >= place), default=place)

    def skip_to(self, place: int) -> None:
        """Give out no places before this one: they were given before."""
        with self._lock:
            live = self._segments[-1]
            if place <= live.end:
                return
            self._add(place)
            if not live.size:
                live.remove()
                self._segments.remove(live)

    def longs(self, low: int, high: int) -> Longs:
        """Lines from `low` to `high`, both included, that were cut short: size and SHA-256 of all of them, by place."""
        with self._lock:
            return {
                at: whole for one in self._segments for at, whole in one.longs.items() if low <= at <= high
            }  # fmt: skip

    def committed(self, place: int) -> None:
        """All before this place is safe elsewhere."""
        with self._lock:
            self._committed = max(self._committed, place)
            self._note_done()

    def tidy(self) -> None:
        """Remove what has been committed for long enough. Raises OSError."""
        with self._lock:
            due = self._steady() - self._keep
            self._remove(lambda segment: self._since.get(segment.base, due) < due)

    def close(self) -> None:
        for segment in self._segments:
            segment.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _holding(self, place: int) -> Segment | None:
        at = bisect_right(self._segments, place, key=lambda segment: segment.base) - 1
        return self._segments[at] if at >= 0 and place < self._segments[at].end else None

    def _add(self, base: int) -> None:
        self._segments.append(Segment.new(self.folder, base))

    def _turn(self) -> None:
        """Go on in a new file; the one before is on the disk then."""
        live = self._segments[-1]
        live.sync()
        self._add(live.end)
        live.close()
        self._note_done()

    def _note_done(self) -> None:
        now = self._steady()
        for segment in self._segments:
            if segment.size and segment.end <= self._committed:
                self._since.setdefault(segment.base, now)

    def _make_room(self, count: int) -> None:
        if self._stored + count <= self._most:
            return
        self._remove(lambda _: True)
        if self._stored + count > self._most:
            raise FullError

    @property
    def _stored(self) -> int:
        return sum(segment.size for segment in self._segments)

    def _remove(self, wanted: Callable[[Segment], bool]) -> None:
        """Take the oldest files off the disk, as far as they are committed whole and wanted gone."""
        while (first := self._segments[0]).size and first.end <= self._committed and wanted(first):
            if len(self._segments) == 1:
                self._turn()
            faults.point("listen.removing")
            first.remove()
            del self._segments[0]
            self._since.pop(first.base, None)
