"""Reads one physical file from an offset on, block by block."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.core.errors import SourceError
from pipeline.core.model import RawBatch
from pipeline.sources.file_tail.look import Look, MovedError, Status, open_same
from pipeline.sources.file_tail.pace import ALL, Asked, Block, End, Rules
from pipeline.sources.file_tail.readers import DamagedError, Plain, Reader, head_of, packing_of, reader_of, skip
from pipeline.sources.identity import HEAD, Mark, digest
from pipeline.sources.records import ROWS, Cutter

if TYPE_CHECKING:
    from collections.abc import Callable


class Tail:
    """One file of a stream. `mark` is what is known of it as of its last batch and its last look."""

    def __init__(self, stream: str, look: Look, rules: Rules, mark: Mark, offset: int) -> None:
        self.stream = stream
        self.mark = mark
        self.fault = ""
        self.done = False
        self.orphan = False  # no path leads to it any more, the open descriptor does
        self._rules = rules
        self._fd = -1
        self._reader: Reader | None = None
        self._block = Block(rules.block, mark.block_end or (offset // rules.block + 1) * rules.block, mark.block_done)
        self.move_to(look, offset)

    def move_to(self, look: Look, offset: int) -> None:
        """Read on from `offset` in the file looked at, which has the content this one had."""
        self.close()
        self.mark = replace(self.mark, packed=look.packed, path=os.path.realpath(look.path))
        self.path = look.path
        self._cutter = Cutter(offset, self._rules.cap)
        self._filled = -1
        self._asked = Asked()
        pinned = not self._rules.follow and not look.packed
        self._end = End(pin=look.status.size if pinned else ALL)
        self._seen(look.status, look.head)

    def rename(self, path: str) -> None:
        """The same file under another name."""
        self.orphan = False
        if path != self.path:
            self.path = path
            self.mark = replace(self.mark, path=os.path.realpath(path))

    @property
    def offset(self) -> int:
        """Where the next record to deliver begins."""
        return self._cutter.position

    @property
    def read_to(self) -> int:
        return self._cutter.read_to

    @property
    def status(self) -> Status:
        """The file as last looked at."""
        return Status(self.mark.dev, self.mark.inode, self.mark.size, self.mark.mtime_ns)

    @property
    def block_done(self) -> bool:
        """Whether the last batch ended a block: another stream may be read now."""
        return self._block.done

    @property
    def idle(self) -> bool:
        """Read to its end as it was last seen."""
        rows = self._cutter.rows(ALL)
        if self.done or rows > self._asked.refused or (rows and self._end.reached):
            return self.done
        return not self.mark.packed and self.mark.size <= self.read_to and (self._rules.follow or not self.unfinished)

    @property
    def damage(self) -> str:
        """What is wrong with a compressed file, once its end was come to."""
        return self._end.damage if self._end.reached else ""

    @property
    def midway(self) -> bool:
        """Whether a block was begun and not ended."""
        return not self._block.done and self._block.end - self._rules.block < self.offset < self._block.end

    @property
    def unfinished(self) -> bool:
        """Bytes were seen that make no record yet, or records that make no entry yet."""
        return not self.done and (self.read_to > self._cutter.cut_to or self._asked.refused > 0)

    @property
    def unread(self) -> int:
        """Bytes known to be there and not delivered; of a compressed file not finished, its size on disk."""
        if self.mark.packed:
            return 0 if self.done else self.mark.size
        return 0 if self.done else max(self.mark.size - self.offset, 0)

    @property
    def settled(self) -> bool:
        """Left alone long enough to say that nothing will be added."""
        return time.monotonic() - self._end.grown > self._rules.settle_seconds

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def hold(self) -> None:
        """Keep the file open, so that it can be read to its end whatever becomes of its name. Raises MovedError."""
        if self._fd < 0:
            self._fd = open_same(self.path, self.status)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._reader = -1, None

    def close_off(self) -> None:
        """Nothing will be added: an unterminated rest is a record as it is."""
        self._end.closing = True
        self._filled = -1

    def intact(self) -> bool:
        """Whether the open file still holds what was read of it; what it holds by now is noted."""
        if not self.is_open:
            return False
        status = Status.of(os.fstat(self._fd))
        if status != self.status:
            if not self._still_holds(status):
                return False
            self._seen(status, self._head())
        return True

    def grew(self) -> bool:
        """Whether a look inside may bring records. Raises MovedError when the path leads elsewhere now."""
        if self.done or not self._rules.follow:
            return not self.done
        if self._cutter.rows(ALL) > self._asked.refused or self._end.reached or self._end.closing:
            return True
        status = self._current()
        if self.mark.packed:
            return status != self._end.stalled or self.settled
        return status != self.status or status.size > self.read_to

    def prepare(self) -> bool:
        """Have records of the current block at hand. Raises MovedError when the file is not what it was, OSError."""
        if self.done:
            return False
        self._block.advance(self.offset)
        if not self._enough():
            self._fill()
        if self._end.reached and not self._cutter.rows(ALL):
            self.done = True
            self.close()
        rows = self._rows()
        return rows > 0 and (rows > self._asked.refused or self._end.reached)

    def take(self, limit: int | None, fault: str, name: Callable[[bytes], str], ingest_ns: int) -> RawBatch:
        """The next batch; `prepare` said there is one. `name` gives a file its partition by its first bytes."""
        rows = self._rows()
        count = rows if limit is None else min(rows, max(limit, self._asked.want, 1))
        last = self._end.reached and count == self._cutter.rows(ALL)
        if last and self._end.damage and count > max(self._asked.want, 1):
            count, last = count - 1, False  # the damage is told with the last record alone, whatever the limit
        final = last or (count == rows and self._overlong())
        if not self.mark.file_generation:
            self.mark = replace(self.mark, file_generation=name(self._head()))
        cut = self._cutter.take(count)
        self._block.done = count == rows and self._cutter.cut_to >= self._block.end
        self._asked = Asked()
        self._remember(int(cut.after[-1]), cut.trail, last)
        return RawBatch(
            self.stream, self.path, self.mark.file_generation, cut.data, cut.starts, cut.ends, cut.positions,
            cut.after, ingest_ns, self.mark.state(), cut.oversize, final,
            fault or self.fault or (self._end.damage if last else ""),
        )  # fmt: skip

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """Give back the records from `consumed` on; they come again with at least as many more, where there are any."""
        left = len(batch) - consumed
        if left and batch.final and not consumed:
            raise SourceError(f"{self.path}: the decoder did not finish the records at {int(batch.positions[0])}")
        self._cutter.back(left)
        self.done = self.done and not left
        self._asked = Asked(left, 2 * len(batch)) if left else Asked()

    def set_aside(self) -> None:
        """Other files are read now: keep only what was read past the block."""
        self._cutter.release()

    def _overlong(self) -> bool:
        """An entry that goes on over several blocks: it is decoded as far as it goes, so that memory stays bounded."""
        return self._asked.want > 0 and self._block.end - self.offset >= max(4 * self._rules.block, 2 * self._rules.cap)

    def _bound(self) -> int:
        return min(self._block.end, self._end.pin)

    def _rows(self) -> int:
        return self._cutter.rows(self._bound())

    def _enough(self) -> bool:
        if self._end.reached or self._cutter.cut_to >= self._bound():
            self._end.reached = self._end.reached or self._cutter.cut_to >= self._end.pin
            return True
        return self._filled == self._block.end and self._rows() >= max(1, self._asked.want, self._asked.refused + 1)

    def _fill(self) -> None:
        if not self._open():
            return
        until = self._bound()
        size = ALL if self.mark.packed else self.mark.size
        before = self.read_to
        rows = max(ROWS, self._asked.want, self._asked.refused + 1)
        alive = self._cutter.fill(self._read, until, rows, min(until, size) - before)
        if alive and self.mark.packed:
            alive = self._cutter.peek(self._read)
        self._filled = self._block.end
        if self.read_to > before:
            self._end.grown = time.monotonic()
        if not alive:
            self._meet_end()
        elif self._cutter.cut_to >= self._end.pin:
            self._end.reached = True

    def _read(self, view: memoryview) -> int:
        assert self._reader is not None  # noqa: S101  _open has run
        try:
            return self._reader.read(view)
        except DamagedError as damaged:
            self._end.damage = damaged.fault
            return 0

    def _meet_end(self) -> None:
        """The reader has nothing more: for now, or for good."""
        if self._rules.follow and self._end.damage == "truncated" and not self.settled:
            self._end.damage, self._end.stalled, self._reader = "", self.status, None
            return
        if self.mark.packed or self._end.closing or not self._rules.follow:
            if not self.mark.packed and self.read_to < self._end.pin < ALL:
                self._end.damage = "truncated"
            self._end.reached = True
            self._cutter.finish()

    def _open(self) -> bool:
        """Have a reader at the next byte to read; false when there is nothing to read there."""
        self.hold()
        if self._displaced():
            raise MovedError(self.path)
        if not self.mark.packed:
            self._check()
            self._reader = self._reader or Plain(self._fd, self.read_to)
        elif self._reader is None:
            return self._unpack()
        return True

    def _displaced(self) -> bool:
        """Whether the path leads to another file by now, so that batches would name the wrong one."""
        if self.orphan:
            return False
        try:
            return not Status.of(os.stat(self.path)).same_file(self.status)
        except FileNotFoundError:
            return True

    def _check(self) -> None:
        status = Status.of(os.fstat(self._fd))
        if status == self.status and self._reader is not None:
            return
        if not self._still_holds(status):
            raise MovedError(self.path)
        self._seen(status, self._head())

    def _still_holds(self, status: Status) -> bool:
        if self.mark.packed:
            return status.size >= self.mark.size
        if status.size < self.read_to:
            return False
        if not self.mark.head_len:
            return not packing_of(self._head()[:8])
        if not self.mark.head_matches(os.pread(self._fd, self.mark.head_len, 0)):
            return False
        return self.mark.tail_matches(os.pread(self._fd, self.mark.tail_len, self.mark.tail_end - self.mark.tail_len))

    def _unpack(self) -> bool:
        self._reader = reader_of(self._fd, self.mark.packed)
        wanted = self.read_to
        try:
            got, trail = skip(self._reader, wanted)
        except DamagedError as damaged:
            self._end.damage, got, trail = damaged.fault, -1, b""
        if got < wanted:
            self._end.damage = self._end.damage or "truncated"
            self._meet_end()
            return False
        known = self.mark.tail_end == wanted and self.mark.tail_len
        if known and not self.mark.tail_matches(trail[-self.mark.tail_len :]):
            self.fault = "altered"
        return True

    def _head(self) -> bytes:
        self.hold()
        return head_of(self._fd, self.mark.packed)

    def _current(self) -> Status:
        try:
            status = Status.of(os.fstat(self._fd) if self.is_open else os.stat(self.path))
        except FileNotFoundError as error:
            raise MovedError(self.path) from error
        if not status.same_file(self.status):
            raise MovedError(self.path)
        return status

    def _seen(self, status: Status, head: bytes) -> None:
        self.mark = replace(
            self.mark, dev=status.dev, inode=status.inode, size=status.size, mtime_ns=status.mtime_ns,
            head_len=len(head[:HEAD]), head_sha256=digest(head[:HEAD]),
        )  # fmt: skip

    def _remember(self, after: int, trail: bytes, last: bool) -> None:
        self.fault = ""
        self.mark = replace(
            self.mark, tail_end=after, tail_len=len(trail), tail_sha256=digest(trail), block_end=self._block.end,
            block_done=self._block.done, complete=last and bool(self.mark.packed) and not self._end.damage,
        )  # fmt: skip
        if last:
            self.done = True
            self.close()
