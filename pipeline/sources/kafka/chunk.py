"""Consecutive records of one partition as they came from the broker: values side by side, and where each belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pipeline.core.model import Bytes, Ints

NULL, EMPTY = "null_value", "empty_value"
_BLANK: Final = b" \t\r\n"
_LF: Final = 10
_CR: Final = 13
_BLANKS: Final = np.frombuffer(_BLANK, np.uint8)


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets `first` to `last` that no record batch of the log covers."""

    first: int
    last: int


Overlong = tuple[int, bytes]  # size and SHA-256 of a batch as it is packed, in place of whose record a text stands


@dataclass(frozen=True, slots=True)
class Chunk:
    """`data[starts[i]:ends[i]]` is the value at `offsets[i]`, followed by one LF that belongs to nobody.

    `after` is where reading goes on behind it: control batches and aborted transactions may lie in between.
    `refused` are the rows that hold nothing to decode, with their reasons; `overlong` those of batches that were not
    unpacked.
    """

    data: Bytes
    starts: Ints
    ends: Ints
    offsets: Ints
    after: int
    refused: dict[int, str] = field(default_factory=dict)
    holes: tuple[Hole, ...] = ()
    leader_epoch: int = -1
    overlong: dict[int, Overlong] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def offset(self) -> int:
        """What the client takes for the record's offset when it passes over what lies before its position."""
        return self.after - 1

    def value(self, row: int) -> bytes:
        """The bytes of one value; b"" for a null one."""
        return self.data[self.starts[row] : self.ends[row]].tobytes()

    def cut(self, first: int, last: int) -> Chunk:
        """Rows `first` to `last` (not included), holes left out."""
        if first == 0 and last == len(self) and not self.holes:
            return self
        low = int(self.starts[first]) if last > first else 0
        high = int(self.ends[last - 1]) + 1 if last > first else 0
        after = self.after if last == len(self) else int(self.offsets[last])
        refused = {row - first: why for row, why in self.refused.items() if first <= row < last}
        overlong = {row - first: what for row, what in self.overlong.items() if first <= row < last}
        return Chunk(
            self.data[low:high], self.starts[first:last] - low, self.ends[first:last] - low, self.offsets[first:last],
            after, refused, (), self.leader_epoch, overlong,
        )  # fmt: skip


def chunk_of(  # noqa: PLR0917  a chunk's parts
    values: Sequence[memoryview | bytes | None], offsets: Ints, after: int, holes: Sequence[Hole], leader_epoch: int,
    overlong: dict[int, Overlong] | None = None,
) -> Chunk:  # fmt: skip
    """Lay values side by side; a line end at the end of one is not part of it."""
    nulls = [row for row, value in enumerate(values) if value is None]
    parts: Any = [value or b"" for value in values] if nulls else values
    lines = all(part and part[-1] == _LF for part in parts)  # each brings the LF that follows it
    data = np.frombuffer(b"".join(parts) if lines else b"\n".join([*parts, b""]), np.uint8)
    sizes = np.fromiter(map(len, parts), np.int64, len(parts))
    starts = np.zeros(len(parts), np.int64)
    np.cumsum(sizes[:-1] + (not lines), out=starts[1:])
    ends = _without_line_end(data, starts, starts + sizes)
    refused = dict.fromkeys(_blank(data, starts, ends), EMPTY) | dict.fromkeys(nulls, NULL)
    return Chunk(data, starts, ends, offsets, after, refused, tuple(holes), leader_epoch, overlong or {})


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks one behind the other as one."""
    if len(chunks) == 1:
        return chunks[0]
    shift = np.cumsum([0, *(len(c.data) for c in chunks)])
    rows = np.cumsum([0, *(len(c) for c in chunks)])
    return Chunk(
        np.concatenate([c.data for c in chunks]),
        np.concatenate([c.starts + s for c, s in zip(chunks, shift, strict=False)]),
        np.concatenate([c.ends + s for c, s in zip(chunks, shift, strict=False)]),
        np.concatenate([c.offsets for c in chunks]),
        chunks[-1].after,
        {row + int(first): why for c, first in zip(chunks, rows, strict=False) for row, why in c.refused.items()},
        tuple(hole for c in chunks for hole in c.holes),
        chunks[-1].leader_epoch,
        {row + int(first): what for c, first in zip(chunks, rows, strict=False) for row, what in c.overlong.items()},
    )


def digests(chunk: Chunk, rows: range) -> list[tuple[int, bytes]]:
    """(offset, SHA-256 of the value) of some rows; b"" where the value is not known."""
    return [
        (int(chunk.offsets[row]), b"" if row in chunk.overlong else hashlib.sha256(chunk.value(row)).digest())
        for row in rows
    ]


def _without_line_end(data: Bytes, starts: Ints, ends: Ints) -> Ints:
    """`ends` moved before one LF or CR LF at the end of a value."""
    moved = ends
    for letter in b"\n\r":
        ended = moved > starts
        ended &= data[np.where(ended, moved - 1, 0)] == letter
        if letter == _CR:
            ended &= moved < ends
        if not ended.any():
            break
        moved = moved - ended
    return moved


def _blank(data: Bytes, starts: Ints, ends: Ints) -> list[int]:
    """Rows that hold nothing but blanks."""
    empty = starts >= ends
    suspects = np.flatnonzero(empty | np.isin(data[np.where(empty, 0, starts)], _BLANKS))
    return [row for row in suspects.tolist() if not data[starts[row] : ends[row]].tobytes().strip(_BLANK)]
