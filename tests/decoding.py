"""Raw batches out of plain bytes, and a whole file decoded the way the line does it, for the tests of decoders."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
from polars.testing import assert_frame_equal

from pipeline.core.model import Oversize, RawBatch
from pipeline.decoders._framing import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl

    from pipeline.core.model import Decoded
    from pipeline.core.ports import Decoder
    from pipeline.decoders._decoder import PieceDecoder

BLANK = b" \t\r\n"
SHARED = Path(os.environ.get("KEYTRAIL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


class Seen(NamedTuple):
    """One piece: its bytes, its position, and its event's columns or the reason why there is none."""

    text: bytes
    position: int
    event: dict[str, Any] | None
    reason: str
    replaced: bytes | None


def batch_of(data: bytes, *, first: int = 0, count: int | None = None, final: bool = True) -> RawBatch:
    """A batch of the lines of `data`, from line `first` on, at most `count`."""
    raw = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(raw == 10)
    starts = np.concatenate([[0], breaks + 1]).astype(np.int64)
    ends = np.concatenate([breaks, [len(raw)]]).astype(np.int64)
    if len(starts) and starts[-1] == len(raw):
        starts, ends = starts[:-1], ends[:-1]
    last = len(starts) if count is None else min(len(starts), first + count)
    starts, ends = starts[first:last], ends[first:last]
    after = np.minimum(ends + 1, len(raw))
    return RawBatch("s", "f", "p", raw, starts, ends, starts.copy(), after, 0, final=final and last >= len(breaks))


def batch_of_records(records: Sequence[bytes], *, oversize: Iterable[int] = ()) -> RawBatch:
    """A batch of records that are counted, not measured, with nothing between them: what Kafka gives."""
    raw = np.frombuffer(b"".join(records), np.uint8)
    ends = np.cumsum([len(record) for record in records], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    number = np.arange(1000, 1000 + len(records), dtype=np.int64)
    cut = [Oversize(index, 1 << 30, b"\0" * 32) for index in oversize]
    return RawBatch("t/0", "t/0", "t/0", raw, starts, ends, number, number + 1, 0, oversize=cut, final=True)


class NoTable:
    """A quick parser that always fails."""

    def read(self, data: Any) -> pl.DataFrame:
        raise duckdb.Error("out of order")


class Speeds:
    """A format's decoder, and one whose quick parser always fails: they are to give the same."""

    def __init__(self, create: Callable[[], PieceDecoder]) -> None:
        self.quick, self.exact = create(), create()
        for reader in self.exact._readers:
            reader._made = NoTable(), reader._parts()[1]  # type: ignore[assignment]

    def believed(self, batch: RawBatch) -> int:
        """How many records of a batch stay on the quick path."""
        return len(self.quick._quick([frame(batch)])[0].records[0])

    def alike(self, batch: RawBatch) -> Decoded:
        """What both make of a batch. Fails when they differ."""
        quick, exact = self.quick.decode(batch), self.exact.decode(batch)
        assert_frame_equal(quick.events, exact.events)
        assert_frame_equal(quick.rejected, exact.rejected)
        assert quick.replaced == exact.replaced
        return quick


def seen(batch: RawBatch, decoded: Decoded) -> list[Seen]:
    """The pieces of a decoded batch in order. Fails for one that is not one of event, rejected and brackets."""
    events: dict[int, dict[str, Any]] = {row.pop("piece"): row for row in rows(decoded.events)}
    reasons = dict(zip(decoded.rejected["piece"].to_list(), decoded.rejected["reason"].to_list(), strict=True))
    count = len(decoded.pieces.starts)
    assert len(events) == len(decoded.events)
    assert len(reasons) == len(decoded.rejected)
    reasons |= dict.fromkeys(decoded.brackets, "brackets")
    assert len(events) + len(reasons) == count
    assert sorted([*events, *reasons]) == list(range(count))
    return [
        Seen(
            batch.data[decoded.pieces.starts[piece] : decoded.pieces.ends[piece]].tobytes(),
            int(decoded.pieces.positions[piece]),
            events.get(piece),
            reasons.get(piece, ""),
            decoded.replaced.get(piece),
        )
        for piece in range(count)
    ]


def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, times as microseconds since 1970."""
    return frame.with_columns(time=frame["time"].dt.timestamp("us")).to_dicts()


def drained(decoder: Decoder, data: bytes, sizes: Iterable[int] = (1 << 30,)) -> list[Seen]:
    """All pieces of a file that is read in batches of `sizes` records (cycled), unfinished tails delivered again."""
    total = len(batch_of(data))
    turns: Iterator[int] = itertools.cycle(sizes)
    found: list[Seen] = []
    at, size = 0, next(turns)
    while at < total:
        batch = batch_of(data, first=at, count=size, final=at + size >= total)
        decoded = decoder.decode(batch)
        found += seen(batch, decoded)
        size = next(turns) if decoded.consumed else size * 2
        at += decoded.consumed
    return found


def uncovered(batch: RawBatch, decoded: Decoded) -> bytes:
    """The bytes of consumed records that are in no piece, less blanks. Fails when two pieces share a byte."""
    covered = np.zeros(len(batch.data), np.int64)
    for start, end in zip(decoded.pieces.starts, decoded.pieces.ends, strict=True):
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    left = b""
    for record in range(decoded.consumed):
        span = slice(batch.starts[record], batch.ends[record])
        left += batch.data[span][covered[span] == 0].tobytes()
    return left.translate(None, BLANK)
