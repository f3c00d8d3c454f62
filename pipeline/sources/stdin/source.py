"""A pipe read as a log: what was taken of it in an earlier run is passed over when the same bytes come again."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import SourceError
from pipeline.core.model import RawBatch
from pipeline.sources.fault import Fault
from pipeline.sources.identity import HEAD, Mark, digest, mark_of, partition_of
from pipeline.sources.records import CHUNK, ROWS, TRAIL, Cutter

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position
    from pipeline.sources.stdin import Config

_BLOCK: Final = 32 << 20
_ALL: Final = 1 << 62
_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


class Stdin:
    """One stream. Positions count from the first byte of the pipe; a pipe is known again by its first bytes."""

    def __init__(
        self, config: Config, positions: Mapping[tuple[str, str], Position], clock: Clock, stream: str, fd: int
    ) -> None:
        self.faults: list[Fault] = []
        self._config, self._clock, self._stream, self._fd = config, clock, stream, fd
        mine = [position for (name, _), position in positions.items() if name == stream]
        self._known = {p.partition: (replace(mark_of(p), file_generation=p.partition), p.offset) for p in mine}
        self._mark = Mark()
        self._head = b""
        self._skip, self._skipped, self._trail = -1, 0, b""
        self._cutter = Cutter(0, config.max_record_bytes)
        self._ended = False
        self._refused = self._want = 0
        self._fault = ""
        self._until = self._first = 0.0

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | None:  # noqa: ARG002
        """See ports.Source. Waits a little for a batch to fill, so that a slow writer does not make tiny ones."""
        self._until, self._first = time.monotonic() + timeout, 0.0
        if not self._begun():
            return None
        wanted = max(ROWS if limit is None else limit, self._want, self._refused + 1)
        rows = self._fill(wanted)
        if not rows or (rows <= self._refused and not self._ended):
            return None
        return self._take(rows if limit is None else min(rows, max(limit, self._want, 1)), rows)

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """See ports.Source."""
        left = len(batch) - consumed
        if left and batch.final and not consumed:
            raise SourceError(f"{self._stream}: the decoder did not finish the records at {int(batch.positions[0])}")
        self._cutter.back(left)
        self._refused, self._want = left, 2 * len(batch) if left else 0
        if not consumed:
            self._fault = batch.fault

    def streams(self) -> Mapping[str, bool]:
        """See ports.Source."""
        return {self._stream: self.exhausted}

    @property
    def exhausted(self) -> bool:
        """True once the writer has closed the pipe and all of it is delivered, followed or not."""
        return self._ended and not self._head and not self._cutter.rows(_ALL)

    def lag_bytes(self) -> Mapping[str, int]:
        """What a pipe still holds is not known; what is read ahead of it is."""
        return {self._stream: self._cutter.read_to - self._cutter.position}

    def commit(self, positions: Sequence[Position]) -> None:
        """A pipe need not be told."""

    def close(self) -> None:
        """The descriptor is the caller's."""

    def _fill(self, wanted: int) -> int:
        """Have `wanted` records at hand, or what there is within the time; how many there are."""
        if self._cutter.rows(_ALL) < wanted and (self._head or not self._ended):
            self._cutter.fill(self._read, self._cutter.cut_to + _BLOCK, wanted, CHUNK)
        if self._ended and not self._head:
            self._cutter.finish()
        return self._cutter.rows(_ALL)

    def _take(self, count: int, rows: int) -> RawBatch:
        held = self._cutter.read_to - self._cutter.position
        overlong = self._want > 0 and count == rows and held >= max(4 * _BLOCK, 2 * self._config.max_record_bytes)
        cut = self._cutter.take(count)
        self._mark = replace(
            self._mark, tail_end=int(cut.after[-1]), tail_len=len(cut.trail), tail_sha256=digest(cut.trail)
        )
        final = overlong or (self._ended and count == rows)
        batch = RawBatch(
            self._stream, self._stream, self._mark.file_generation, cut.data, cut.starts, cut.ends, cut.positions,
            cut.after, self._clock(), self._mark.state(), cut.oversize, final, self._fault,
        )  # fmt: skip
        self._fault = ""
        self._refused = self._want = 0
        return batch

    def _read(self, view: memoryview) -> int:
        """Bytes kept back from telling which pipe this is, then what comes before the time is up."""
        if self._head:
            got = min(len(view), len(self._head))
            view[:got], self._head = self._head[:got], self._head[got:]
            return got
        return self._receive(view)

    def _receive(self, view: memoryview) -> int:
        now = time.monotonic()
        until = min(self._until, self._first + self._config.linger_seconds) if self._first else self._until
        if not select.select([self._fd], [], [], max(until - now, 0))[0]:
            return 0
        try:
            got = os.readv(self._fd, [view])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise SourceError(f"{self._stream}: cannot be read: {error.strerror}") from error
        self._ended = not got
        self._first = self._first or time.monotonic()
        return got

    def _begun(self) -> bool:
        """Whether it is known which pipe this is, and what was taken of it before is passed."""
        while self._skip < 0:
            if self._identify():
                break
            if not self._gather():
                return False
        while self._skipped < self._skip:
            if not self._pass():
                return self._ended and self._short()
        return True

    def _gather(self) -> bool:
        """More of the pipe's first bytes."""
        buffer = bytearray(HEAD - len(self._head))
        got = self._receive(memoryview(buffer))
        self._head += bytes(buffer[:got])
        return got > 0 or self._ended

    def _identify(self) -> bool:
        """Decide by the first line, and where that is known by as many bytes as are known."""
        if self._head.startswith(_PACKED):
            raise SourceError("standard input is compressed: unpack it first, for instance with zcat")
        whole = self._ended or len(self._head) >= HEAD
        if not (whole or b"\n" in self._head):
            return False
        name = partition_of(self._head, ())
        same = [item for key, item in self._known.items() if key.partition("-")[0] == name]
        if not whole and any(mark.head_len > len(self._head) for mark, _ in same):
            return False
        found = max((item for item in same if item[0].head_matches(self._head)), key=_furthest, default=None)
        generation = 1 + max((mark.generation for mark, _ in self._known.values()), default=0)
        fresh = Mark(file_generation=partition_of(self._head, self._known), generation=generation)
        mark, self._skip = found or (fresh, 0)
        head = self._head[:HEAD]
        self._mark = replace(mark, head_len=len(head), head_sha256=digest(head))
        if self._skip:
            self._cutter = Cutter(self._skip, self._config.max_record_bytes)
        return True

    def _pass(self) -> bool:
        """Read over what was taken before; at its end compare the last bytes."""
        buffer = memoryview(bytearray(min(CHUNK, self._skip - self._skipped)))
        got = self._read(buffer)
        self._skipped += got
        self._trail = (self._trail + bytes(buffer[max(got - TRAIL, 0) : got]))[-TRAIL:]
        mark = self._mark
        if self._skipped == self._skip == mark.tail_end and not mark.tail_matches(
            self._trail[len(self._trail) - mark.tail_len :]
        ):
            self._fault = "altered"
            self._report("altered", f"what comes before offset {self._skip} is not what was read there")
        return got > 0

    def _short(self) -> bool:
        """The pipe ended before the place where reading was to go on."""
        self._report("truncated", f"ends at {self._skipped}, before offset {self._skip}, where it was read to")
        self._skip = self._skipped
        self._cutter = Cutter(self._skipped, self._config.max_record_bytes)
        return True

    def _report(self, cause: str, message: str) -> None:
        self.faults.append(Fault(self._stream, self._stream, cause, f"{self._stream}: {message}"))


def _furthest(item: tuple[Mark, int]) -> int:
    return item[1]
