"""Leaks in a lake: each once, however often its log is scanned, and M6, which counts them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.core.schema import LEAK, SLI, conform

if TYPE_CHECKING:
    from pipeline.store import Lake

    Row = tuple[Any, ...]

COLUMNS: Final = tuple(LEAK)
COVERAGE: Final = "what was found in the logs that were scanned; without a row: nothing, or not scanned"
_WRITTEN: Final = 10_000  # rows that wait before they are written


class LeakKeeper:
    """Writes leaks that the lake does not have: same stream, line, time, rule and secret."""

    def __init__(self, lake: Lake, window_seconds: int) -> None:
        self._lake = lake
        self._seconds = window_seconds
        self._leaks: Counter[int] = Counter()  # by the beginning of their window, seconds since 1970
        self._grown: set[int] = set()  # windows with new ones
        self._waiting: list[Row] = []
        self._new = 0
        self._known: set[bytes] = set()
        for frame in lake.read("leaks"):
            for row in frame.select(COLUMNS).iter_rows():
                self._add(row)
        self._grown.clear()

    def take(self, row: Row) -> None:
        if self._add(row):
            self._waiting.append(row)
            self._new += 1
        if len(self._waiting) >= _WRITTEN:
            self._write()

    def _add(self, row: Row) -> bool:
        """Whether it was not known."""
        identity, time = _identity(row), row[COLUMNS.index("time")]
        if identity in self._known:
            return False
        self._known.add(identity)
        if time is not None:
            window = int(time.timestamp()) // self._seconds * self._seconds
            self._leaks[window] += 1
            self._grown.add(window)
        return True

    def slis(self) -> pl.DataFrame:
        """M6 of the windows that have more leaks than before."""
        windows = sorted(self._grown)
        counts = [float(self._leaks[window]) for window in windows]
        frame = pl.DataFrame({
            "window_start": [dt.datetime.fromtimestamp(window, dt.UTC) for window in windows], "total": counts,
            "value": counts,
        }, schema={name: SLI[name] for name in ("window_start", "total", "value")})  # fmt: skip
        return conform(frame.with_columns(
            sli=pl.lit("M6"), store=pl.lit("text"), scope=pl.lit("store"), window_seconds=self._seconds, good=0.0,
            objective=0.0, met=pl.lit(value=False), estimate=pl.lit(value=False), coverage=pl.lit(COVERAGE),
        ), SLI)  # fmt: skip

    def finish(self) -> int:
        """Write what waits; how many rows are new."""
        self._write()
        return self._new

    def _write(self) -> None:
        if self._waiting:
            self._lake.write("leaks", pl.DataFrame(self._waiting, schema=LEAK, orient="row"))
            self._waiting = []


def _identity(row: Row) -> bytes:
    source, position, time, rule, _, keyed_hash, *_ = row
    when = "" if time is None else time.isoformat()
    text = "\0".join((source, str(position), when, rule, keyed_hash))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
