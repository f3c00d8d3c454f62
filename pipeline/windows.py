"""Stretches of event time for the detectors that judge more than one operation.

A window takes operations by `complete_time`, which never steps back, so what is in it does not depend on how the
stream was cut. It holds counted rows (schema.WINDOW): memory follows what is distinct, not what is frequent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, NOTABLE, WINDOW, WINDOW_KEYS, empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.model import Frames

FOLD_ROWS = 100_000


@dataclass(slots=True)
class _Open:
    start_us: int
    counted: pl.DataFrame = field(default_factory=lambda: empty(WINDOW))
    loose: list[pl.DataFrame] = field(default_factory=list)
    loose_rows: int = 0


class Windows:
    """Cuts the stream of operations into windows of `seconds`, aligned to the epoch."""

    def __init__(self, seconds: int) -> None:
        self.width_us = seconds * 1_000_000
        self._open: _Open | None = None

    def push(self, operations: pl.DataFrame, watermark_us: int) -> Iterator[Window]:
        """Add what was released and yield each window that is whole, in order. `profiles` is left for the line."""
        width = self.width_us
        starts = operations["complete_time"].to_physical() // width * width
        if self._open is not None:  # what comes late is seen in the window that is open
            starts = starts.clip(lower_bound=self._open.start_us)
        for start in starts.unique().sort().to_list():
            if self._open is not None and start != self._open.start_us:
                yield self._close()
            self._add(start, operations.filter(starts == start))
        if self._open is not None and watermark_us >= self._open.start_us + width:
            yield self._close()

    def turn(self) -> Iterator[Window]:
        """The clock was set back: the open window is over, and the next one may begin before it."""
        if self._open is not None:
            yield self._close()

    def current(self) -> Window | None:
        """The window that is still open, to be scored and not learned from."""
        return None if self._open is None else self._window(self._open, closed=False)

    def _add(self, start: int, operations: pl.DataFrame) -> None:
        current = self._open = self._open or _Open(start)
        current.loose.append(count(operations))
        current.loose_rows += len(current.loose[-1])
        if current.loose_rows > FOLD_ROWS:
            self._fold(current)

    def _fold(self, current: _Open) -> None:
        if current.loose:
            current.counted = recount(pl.concat([current.counted, *current.loose]))
            current.loose, current.loose_rows = [], 0

    def _close(self) -> Window:
        assert self._open is not None  # noqa: S101  callers have just looked
        window = self._window(self._open, closed=True)
        self._open = None
        return window

    def _window(self, current: _Open, *, closed: bool) -> Window:
        self._fold(current)
        end = current.start_us + self.width_us
        return Window(current.start_us, end, current.counted, empty(INTEGRITY), None, closed)

    def snapshot(self) -> Frames:
        """The open window."""
        if self._open is None:
            return {"start": pl.DataFrame({"start_us": []}, schema={"start_us": pl.Int64})}
        window = self._window(self._open, closed=False)
        return {
            "start": pl.DataFrame({"start_us": [window.start_us]}, schema={"start_us": pl.Int64}),
            "counted": window.operations,
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._open = None
        for (start,) in frames["start"].iter_rows():
            self._open = _Open(start, frames["counted"])


def count(operations: pl.DataFrame) -> pl.DataFrame:
    """WINDOW rows of OPERATION rows."""
    act = pl.when(pl.col("operation").is_in(NOTABLE)).then("path")
    rows = operations.with_columns(act=act, n=pl.lit(1, pl.Int64), last_time="time")
    return _counted(rows.select(*WINDOW_KEYS, "n", "time", "last_time", "uid", "path"))


def recount(rows: pl.DataFrame) -> pl.DataFrame:
    """WINDOW rows of WINDOW rows: alike ones added up."""
    return _counted(rows)


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    grouped = rows.sort("time", "uid").group_by(WINDOW_KEYS, maintain_order=True)
    first, total = [pl.col(name).first() for name in ("time", "uid", "path")], pl.col("n").sum()
    return grouped.agg(total, *first, last_time=pl.col("last_time").max()).select(WINDOW.names())
