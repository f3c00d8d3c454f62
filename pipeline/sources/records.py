"""Cuts a run of bytes into records at line ends: no copy beyond the one read, no Python object per record.

Columns of a table of records, all int64: `start` and `end` in the buffer, `position` in the stream, and `after`, the
offset at which the next record begins. A carriage return stays in its record.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.core.model import Oversize

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.core.model import Bytes, Ints

CHUNK: Final = 1 << 18  # indexed while still in the processor's cache
STEP: Final = 1 << 16  # reads past the end of a block, to finish its last record
KEPT: Final = 1 << 16  # what stays of a record past the cap
ROWS: Final = 1 << 16  # records indexed in one go: bounds memory where they are a few bytes long
TRAIL: Final = 4096  # bytes before an offset that prove the history is still the same

Read = Callable[[memoryview], int]  # fills the start of the view; 0 when there is nothing now

_SLICE: Final = 1 << 20  # bytes looked through for line ends at a time: what it takes stays in the cache
_START, _END, _POSITION, _AFTER = range(4)


@dataclass(frozen=True, slots=True)
class Cut:
    """Consecutive records on their way into a batch; `trail` are the last bytes before `after[-1]`."""

    data: Bytes
    starts: Ints
    ends: Ints
    positions: Ints
    after: Ints
    oversize: tuple[Oversize, ...]
    trail: bytes

    def __len__(self) -> int:
        return len(self.starts)


class Cutter:
    """Holds what was read and not yet taken. Memory: one fill, plus at most one record below the cap.

    A record longer than `cap` bytes is streamed past: the first 64 KiB stay, size and SHA-256 are of all of it.
    """

    def __init__(self, offset: int, cap: int) -> None:
        self._cap = cap
        self._kept = min(cap, KEPT)
        self._buffer: Bytes = np.empty(0, np.uint8)
        self._used = 0
        self._room = sys.maxsize  # no fill is given much more room than the last one took
        self._delta = offset  # stream offset minus buffer index, true from the unfinished record on
        self._open = 0  # where the unfinished record starts in the buffer
        self._open_position = offset
        self._digest: hashlib._Hash | None = None  # of an unfinished record already past the cap
        self._table: npt.NDArray[np.int64] = np.empty((4, 0), np.int64)
        self._fresh: list[npt.NDArray[np.int64]] = []
        self._cursor = 0
        self._long: dict[int, tuple[int, bytes]] = {}  # position -> size and hash of all of it

    @property
    def read_to(self) -> int:
        """Offset of the next byte to read."""
        return self._delta + self._used

    @property
    def cut_to(self) -> int:
        """Offset at which the first record begins that is not complete yet."""
        return self._open_position

    @property
    def position(self) -> int:
        """Offset of the first record not taken."""
        rows = self._table[_POSITION]
        return int(rows[self._cursor]) if self._cursor < len(rows) else self._open_position

    def rows(self, until: int) -> int:
        """How many complete records, not taken yet, begin before `until`."""
        rows = self._table[_POSITION]
        return int(np.searchsorted(rows[self._cursor :], until))

    def fill(self, read: Read, until: int, rows: int, hint: int) -> bool:
        """Read until every record that begins before `until` is complete, or `rows` are at hand.

        `hint` is how many bytes are likely to come. False when the reader had nothing more.
        """
        self.release(min(max(hint, 0), self._room) + STEP)
        begun = self.read_to
        held = self._table.shape[1]
        alive = True
        while alive and self._open_position < until and held < rows:
            got = read(self._space(max(STEP, min(until - self.read_to, CHUNK))))
            before = len(self._fresh)
            self._index(got)
            held += sum(part.shape[1] for part in self._fresh[before:])
            alive = got > 0
        self._settle()
        self._room = max(4 * (self.read_to - begun), CHUNK)
        return alive

    def peek(self, read: Read) -> bool:
        """Whether anything follows what was read: reads a little more when that is the only way to know."""
        if self.read_to > self._open_position:
            return True
        got = read(self._space(STEP))
        self._index(got)
        self._settle()
        return got > 0

    def finish(self) -> None:
        """Take the unterminated rest for a record: nothing will be added to it."""
        if self.read_to == self._open_position:
            return
        if self._digest is not None:
            self._long[self._open_position] = (self.read_to - self._open_position, self._digest.digest())
            self._digest = None
        self._append(self._open, self._used, self._open_position, self.read_to)
        self._open, self._open_position = self._used, self.read_to
        self._settle()

    def take(self, count: int) -> Cut:
        """The next `count` records, which must be at hand."""
        low, high = self._cursor, self._cursor + count
        starts, ends, positions, after = self._table[:, low:high]
        first = int(starts[0])
        stop = int(self._table[_START, high]) if high < self._table.shape[1] else self._open
        self._cursor = high
        data = self._buffer[first : max(stop, int(ends[-1]))]
        data.flags.writeable = False
        found = self._oversize(positions)
        return Cut(data, starts - first, ends - first, positions, after, found, self._trail(high - 1, stop))

    def back(self, count: int) -> None:
        """Un-take the last `count` records; only until the next fill."""
        self._cursor -= count

    def release(self, room: int = 0) -> None:
        """Let go of the buffer: what is not taken moves to a new one with `room` to spare."""
        rest = self._table[:, self._cursor :]
        low = int(rest[_START, 0]) if rest.shape[1] else self._open
        held = self._used - low
        buffer = np.empty(held + room, np.uint8)
        buffer[:held] = self._buffer[low : self._used]
        self._buffer, self._used = buffer, held
        self._open -= low
        self._delta += low
        self._table = rest - np.array([[low], [low], [0], [0]], np.int64)
        self._cursor = 0
        if self._long:
            self._long = {at: value for at, value in self._long.items() if at >= self.position}

    def _space(self, size: int) -> memoryview:
        need = self._used + size
        if need > len(self._buffer):
            grown = np.empty(max(need, 2 * self._used), np.uint8)
            grown[: self._used] = self._buffer[: self._used]
            self._buffer = grown
        return self._buffer.data[self._used : need]

    def _index(self, got: int) -> None:
        base = self._used
        self._used += got
        if self._digest is not None and not self._pass_long(base):
            return
        newlines = [
            np.flatnonzero(self._buffer[at : min(at + _SLICE, self._used)] == 10) + at
            for at in range(base, self._used, _SLICE)
        ]
        if sum(map(len, newlines)):
            self._add(np.concatenate(newlines))
        if self._used - self._open > self._cap:
            self._digest = hashlib.sha256(self._buffer[self._open : self._used].data)
            self._drop(self._open + self._kept, self._used)

    def _add(self, newlines: Ints) -> None:
        table = np.empty((4, len(newlines)), np.int64)
        table[_START, 0] = self._open
        table[_START, 1:] = newlines[:-1] + 1
        table[_END] = newlines
        table[_POSITION] = table[_START] + self._delta
        table[_AFTER] = newlines + (self._delta + 1)
        if int((table[_END] - table[_START]).max()) > self._cap:
            self._shorten(table)
        self._fresh.append(table)
        self._open = int(newlines[-1]) + 1
        self._open_position = self._open + self._delta

    def _shorten(self, table: npt.NDArray[np.int64]) -> None:
        """Records past the cap that were complete before they had to be streamed past."""
        for row in np.flatnonzero(table[_END] - table[_START] > self._cap):
            start, end = int(table[_START, row]), int(table[_END, row])
            digest = hashlib.sha256(self._buffer[start:end].data).digest()
            self._long[int(table[_POSITION, row])] = (end - start, digest)
            table[_END, row] = start + self._kept

    def _pass_long(self, base: int) -> bool:
        """Hash on through a record past the cap; true when its end was found and cutting goes on behind it."""
        digest = self._digest
        assert digest is not None  # noqa: S101  only called while one is open
        found = np.flatnonzero(self._buffer[base : self._used] == 10)
        stop = base + int(found[0]) if len(found) else self._used
        digest.update(self._buffer[base:stop].data)
        if not len(found):
            self._drop(base, self._used)
            return False
        position, after = self._open_position, self._delta + stop + 1
        self._long[position] = (after - 1 - position, digest.digest())
        self._append(self._open, base, position, after)
        self._drop(base, stop + 1)
        self._open, self._open_position, self._digest = base, after, None
        return True

    def _drop(self, low: int, high: int) -> None:
        """Take buffer bytes [low, high) out; what follows moves down and keeps its stream offset."""
        rest = self._used - high
        self._buffer[low : low + rest] = self._buffer[high : self._used].copy()
        self._used = low + rest
        self._delta += high - low

    def _append(self, start: int, end: int, position: int, after: int) -> None:
        self._fresh.append(np.array([[start], [end], [position], [after]], np.int64))

    def _settle(self) -> None:
        if self._fresh:
            self._table = np.concatenate([self._table, *self._fresh], axis=1)
            self._fresh.clear()

    def _oversize(self, positions: Ints) -> tuple[Oversize, ...]:
        if not self._long:
            return ()
        low, high = int(positions[0]), int(positions[-1])
        inside = sorted(at for at in self._long if low <= at <= high)
        return tuple(Oversize(int(np.searchsorted(positions, at)), *self._long[at]) for at in inside)

    def _trail(self, row: int, stop: int) -> bytes:
        """The bytes before the end of `row`; within that record alone where something was streamed past."""
        low = max(stop - TRAIL, 0)
        if self._long:
            long = int(self._table[_POSITION, row]) in self._long
            low = stop if long else max(low, int(self._table[_START, row]))
        return self._buffer[low:stop].tobytes()
