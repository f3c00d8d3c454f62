"""How many lines of each kind a stream held at the moments its store's counters were scraped.

A scrape is a request to `sys/metrics` like any other, so its own two lines fence it: the server had counted every line
that stands before its request, none that stands after its response. A device that was off then, or a scrape that is
not audited, is fenced by time, with two seconds of doubt on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from pipeline.core.clock import NEVER
from pipeline.integrity.places import HONEST_US

if TYPE_CHECKING:
    from pipeline.core.model import Ints
    from pipeline.integrity.scrapes import Scrape

METRICS_PATH: Final = "sys/metrics"
NEAR_US: Final = 5_000_000  # the scraper's clock and the server's may differ this much
MARKS: Final = 10_000
_ENABLED: Final = r"^sys/audit/([^/]+)/?$"


class Mark(NamedTuple):
    """One line of a scrape in a stream: what the stream held before it, the line itself included if it is a request."""

    time: int
    request: str
    phase: str
    requests: int
    responses: int
    position: int
    file: str
    starts: int  # lives of the device so far


class Fence(NamedTuple):
    """Between how many requests and responses the server had counted of this stream's lines, and when (µs)."""

    start: int
    end: int
    least: tuple[int, int]
    most: tuple[int, int]
    position: int
    file: str
    starts: int  # -1 when the scrape's own lines are not in the stream


@dataclass(slots=True)
class Tally:
    """One stream, counted in the order it stands in its files. `below` has a row for each timed scrape."""

    source: str
    requests: int = 0
    responses: int = 0
    first_us: int = NEVER
    newest_us: int = NEVER
    starts: int = 0
    begins: bool = False  # its first line is the one a device starts with
    started: bool = False  # its last line is that
    name: str = ""  # as its own start tells it
    marks: list[Mark] = field(default_factory=list)
    below: Ints = field(default_factory=lambda: np.zeros((0, 6), dtype=np.int64))
    # columns: requests and responses surely before, the same possibly before, last position possibly before, blind

    def begin(self, scrapes: Sequence[Scrape]) -> None:
        """Make room for scrapes; what was counted already lies before those that are later than all of it."""
        fresh = np.zeros((len(scrapes), 6), dtype=np.int64)
        for row, scrape in enumerate(scrapes):
            seen = self.newest_us >= (scrape.start_us or 0) - HONEST_US
            fresh[row] = (self.requests, self.responses) * 2 + (-1, seen)
        self.below = fresh

    def count(self, events: pl.DataFrame, lows: Ints, highs: Ints, *, in_order: bool = True) -> None:
        """Take the next lines of the stream. `lows` and `highs` are the edges of the timed scrapes, rising.

        Where they are not in the order in which they were written, no line fences another.
        """
        probe = events["probe"].fill_null(value=False).to_numpy()
        asked = (events["phase"] == "request").to_numpy() & ~probe
        answered = (events["phase"] == "response").to_numpy()
        times = events["time"].to_physical().to_numpy()
        if self.first_us == NEVER:
            self.first_us, self.begins = int(times[0]), bool(probe[0])
        if in_order and (probe.any() or self.started):
            self._starts(events, probe)
        if in_order and (events["path"] == METRICS_PATH).any():
            self._mark(events, asked, answered, probe)
        self.starts += int(probe.sum())
        if len(lows):
            self._fill(times, asked, answered, lows, highs, events["position"])
        self.requests += int(asked.sum())
        self.responses += int(answered.sum())
        self.newest_us = max(self.newest_us, int(times.max()))

    def _starts(self, events: pl.DataFrame, probe: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """A device enabled by request tells its name: the answer that enabled it is its second line (V3)."""
        following = np.flatnonzero(np.concatenate(([self.started], probe[:-1])))
        second = events[following].filter(phase="response")["path"].str.extract(_ENABLED).drop_nulls()
        self.name = second[-1] if len(second) else self.name
        self.started = bool(probe[-1])

    def _mark(self, events: pl.DataFrame, *flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        asked, answered, probe = (np.cumsum(flag) for flag in flags)
        rows = events.with_row_index("i").filter(path=METRICS_PATH)
        told = rows.select(
            "i", pl.col("time").to_physical(), "correlation_uid", "phase", "position", "file"
        ).iter_rows()
        for i, time, request, phase, position, file in told:
            before = self.requests + int(asked[i]), self.responses + int(answered[i]) - (phase == "response")
            self.marks.append(Mark(time, request or "", phase, *before, position, file, self.starts + int(probe[i])))
        del self.marks[:-MARKS]

    def _fill(  # noqa: PLR0917
        self, times: Ints, asked: np.ndarray[tuple[int], np.dtype[np.bool_]],
        answered: np.ndarray[tuple[int], np.dtype[np.bool_]], lows: Ints, highs: Ints, positions: pl.Series,
    ) -> None:  # fmt: skip
        for column, edges, flag in ((0, lows, asked), (1, lows, answered), (2, highs, asked), (3, highs, answered)):
            slot = np.searchsorted(edges, times[flag], side="right")
            self.below[:, column] += np.cumsum(np.bincount(slot, minlength=len(edges) + 1))[:-1]
        ends = np.maximum.accumulate(times)
        rows = np.searchsorted(ends, highs, side="right") - 1
        some = rows >= 0
        self.below[some, 4] = positions.to_numpy()[rows[some]]

    def fence(self, number: int, scrape: Scrape) -> Fence | None:
        """Where a timed scrape stands in this stream; None when that cannot be told."""
        start, end = scrape.start_us or 0, scrape.end_us or 0
        near = [m for m in self.marks if m.phase == "request" and start - NEAR_US <= m.time <= end + NEAR_US]
        if near:
            asked = min(near, key=lambda m: abs(m.time - (start + end) // 2))
            answers = [m for m in self.marks if m.phase == "response" and m.request == asked.request]
            if answers:
                return self._between(asked, answers[0])
        if self.marks:
            return None  # other scrapes are in the stream, so this one is missing or its clock was set
        least, most, position, blind = self._row(number)
        if blind:
            return None
        return Fence(start - HONEST_US, end + HONEST_US, least, most, position, self.source, -1)

    def fences(self) -> Iterator[Fence]:
        """The audited scrapes in this stream, in the order they stand in it."""
        answers = {m.request: m for m in self.marks if m.phase == "response"}
        for mark in self.marks:
            if mark.phase == "request" and mark.request in answers:
                yield self._between(mark, answers[mark.request])

    def _between(self, asked: Mark, answered: Mark) -> Fence:
        least, most = (asked.requests, asked.responses), (answered.requests, answered.responses)
        starts = asked.starts if asked.starts == answered.starts else -1
        return Fence(asked.time, answered.time, least, most, asked.position, asked.file, starts)

    def _row(self, number: int) -> tuple[tuple[int, int], tuple[int, int], int, bool]:
        if number >= len(self.below):
            return (0, 0), (0, 0), 0, True
        a, b, c, d, position, blind = self.below[number].tolist()
        return (a, b), (c, d), max(position, 0), bool(blind)
