"""The store's own counters against the lines each stream holds.

Between two scrapes the server counted so many calls of each audit device; a device that holds fewer lines has lost the
difference: gap/counter_mismatch, bounded by the two scrapes. One that holds more has lines the server never counted:
altered/counter_surplus, where both scrapes are known to be of one process, else unverifiable. Counters start anew with
the server; across a restart only the later count must be there. Where every count matches, the stream is proven
complete between the scrapes: that is evidence for coverage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.clock import ALWAYS
from pipeline.integrity.places import HONEST_US, Row, frame, moment, place
from pipeline.integrity.scrapes import ALL, Scrape, metric_name
from pipeline.integrity.spans import SPAN
from pipeline.integrity.tallies import Fence, Tally
from pipeline.integrity.tally_memory import Book, packed, unpacked

if TYPE_CHECKING:
    from pipeline.core.model import Frames

SETTLE_US: Final = 60_000_000  # a scrape is judged when every stream has passed it by this
DOUBT: Final = 8  # lines written while a scrape was answered that leave a match a match
SCRAPES: Final = 2000


@dataclass(frozen=True, slots=True)
class Count:
    """One stream between two scrapes: calls the server counted against lines that are there."""

    calls: tuple[int, int]
    lines: tuple[int, int]
    lost: int
    surplus: int
    exact: bool
    start: Fence
    end: Fence
    settled_us: int


class Counters:
    """Counts every stream as it is read and judges each scrape when the streams have passed it.

    `named` maps a device's name to its stream where the stream's start and its file's name do not tell. Streams that
    are not `in_order`, such as topics with several partitions, come in the order of time: lines are then held against
    a scrape by their times alone, with the doubt that leaves.
    """

    def __init__(
        self, scrapes: Sequence[Scrape] = (), named: Mapping[str, str] | None = None, filtered: Sequence[str] = (), *,
        in_order: bool = True,
    ) -> None:  # fmt: skip
        self._in_order = in_order
        self._timed = [s for s in scrapes if s.start_us is not None]
        self._untimed = [s for s in scrapes if s.start_us is None]
        self._named = {metric_name(device): stream for device, stream in (named or {}).items()}
        self._filtered = frozenset(filtered)
        self._tallies: dict[str, Tally] = {}
        self._books: dict[str, Book] = {}
        self._proven: dict[tuple[str, int], int] = {}  # spans that have grown since `evidence` was last asked
        self._edges()

    def _edges(self) -> None:
        starts = np.array([s.start_us for s in self._timed], dtype=np.int64)
        ends = np.array([s.end_us for s in self._timed], dtype=np.int64)
        self._lows, self._highs = starts - HONEST_US - 1, np.maximum.accumulate(ends + HONEST_US)

    def stream(self, source: str, events: pl.DataFrame) -> None:
        """Count the next lines of a stream, in the order they stand in it."""
        lines = events.filter(store="vault")
        if lines.is_empty():
            return
        tally = self._tallies.get(source)
        if tally is None:
            tally = self._tallies[source] = Tally(source)
            tally.begin(self._timed)
        tally.count(lines, self._lows, self._highs, in_order=self._in_order)

    def judge(self, watermark_us: int) -> pl.DataFrame:
        """INTEGRITY rows of the scrapes that every stream has passed."""
        rows: list[Row] = []
        if watermark_us >= ALWAYS and self._untimed:
            rows += self._by_order()
        for source in sorted(self._tallies) if self._timed else ():
            book = self._books.setdefault(source, Book())
            for number, scrape in enumerate(self._timed):
                start, end = scrape.start_us or 0, scrape.end_us or 0
                if start > book.judged_us and end + SETTLE_US < watermark_us and source not in self._filtered:
                    rows += self._judge(self._tallies[source], book, number)
                    book.judged_us = start
        return frame(rows)

    def evidence(self) -> pl.DataFrame:
        """The spans (spans.SPAN) in which every count matched, as far as they have grown since the last call."""
        note = "the server's counters match its lines"
        rows = [(name, "counters", start, end, note) for (name, start), end in sorted(self._proven.items())]
        self._proven.clear()
        return pl.DataFrame(rows, schema=SPAN, orient="row")

    def _judge(self, tally: Tally, book: Book, number: int) -> Iterator[Row]:
        scrape = self._timed[number]
        if tally.fence(number, scrape) is None:
            return  # its lines are not in the stream: the next scrape is held against the one before
        last = next((n for n in range(number) if self._timed[n].start_us == book.fenced_us), None)
        count = None if last is None else self._between(tally, last, number)
        book.fenced_us = scrape.start_us or 0
        if count is None or last is None:
            self._first(tally, book, number)
            return
        restarted = scrape.after_restart(self._timed[last])
        yield from _rows(tally.source, count, same_process=scrape.same_process(self._timed[last]))
        book.told += count.lost
        if restarted:
            book.since, book.told, book.proven_us = scrape.start_us or 0, 0, -1
            return
        yield from self._drip(tally, book, number)
        if count.exact:
            book.proven_us = book.proven_us if book.proven_us >= 0 else count.start.start
            self._proven[tally.source, book.proven_us] = count.end.end
        else:
            book.proven_us = -1

    def _first(self, tally: Tally, book: Book, number: int) -> None:
        """Nothing to compare with yet. Lines from the device's own start that match the counters prove themselves."""
        scrape = self._timed[number]
        book.since, book.told, book.proven_us = scrape.start_us or 0, 0, -1
        fence = tally.fence(number, scrape)
        calls = self._calls(tally, scrape)
        if tally.begins and fence and fence.starts == 1 and calls == fence.least == fence.most:
            book.proven_us = tally.first_us
            self._proven[tally.source, book.proven_us] = fence.end

    def _drip(self, tally: Tally, book: Book, number: int) -> Iterator[Row]:
        """Losses too small to show between two scrapes add up since the counters began."""
        first = next((n for n in range(number - 1) if self._timed[n].start_us == book.since), None)
        whole = None if first is None else self._between(tally, first, number)
        if whole is not None and whole.lost > book.told:
            yield from _rows(tally.source, replace(whole, lost=whole.lost - book.told, surplus=0))
            book.told = whole.lost

    def _between(self, tally: Tally, first: int, last: int) -> Count | None:
        earlier, later = self._timed[first], self._timed[last]
        start, end = tally.fence(first, earlier), tally.fence(last, later)
        if start is None or end is None:
            return None
        device = self._device(tally)
        if device is None and (start.starts < 0 or start.starts != end.starts):
            return None  # the counters of all devices hold for one that lived through
        if device is not None and (device, "request") not in earlier.calls and any(start.most):
            return None  # its counters have expired or were not kept then
        return compared(earlier, later, device or ALL, start, end)

    def _calls(self, tally: Tally, scrape: Scrape) -> tuple[int, int]:
        device = self._device(tally) or ALL
        return scrape.calls.get((device, "request"), -1), scrape.calls.get((device, "response"), -1)

    def _device(self, tally: Tally) -> str | None:
        """The name under which the server counts this stream, if it has counters of its own."""
        known = {device for scrape in self._timed for device, _ in scrape.calls} - {ALL}
        given = [device for device, stream in self._named.items() if stream == tally.source]
        told = [metric_name(tally.name)] if tally.name else []
        stem = metric_name(PurePath(tally.source).name.split(".")[0])
        alike = [s for s in self._tallies if metric_name(PurePath(s).name.split(".")[0]) == stem]
        return next((name for name in (*given, *told, *([stem] if len(alike) == 1 else [])) if name in known), None)

    def _by_order(self) -> list[Row]:
        """Scrapes without a time are those that the streams tell of, if there are as many."""
        if self._timed or not self._tallies:
            return [self._untold()]
        fullest = max(self._tallies.values(), key=lambda t: (len(t.marks), t.source))
        fences = list(fullest.fences())
        if len(fences) != len(self._untimed):
            return [self._untold()]
        self._timed = [
            replace(scrape, start_us=fence.start, end_us=fence.end)
            for scrape, fence in zip(self._untimed, fences, strict=True)
        ]
        self._untimed = []
        return []

    def _untold(self) -> Row:
        text = "scrapes that tell no time, and not as many audited requests to sys/metrics: the counters are not used"
        source = min(self._tallies, default="")
        return {
            "source": source, "verdict": "unverifiable", "from_position": 0, "to_position": 0, "from_time": None,
            "to_time": None, "count": len(self._untimed), "evidence": text, "file": source,
            "cause": "counter_time_unknown", "uid": place(source, "counter_time_unknown", ""), "known": None,
        }  # fmt: skip

    def snapshot(self) -> Frames:
        """The tallies, their marks, what stood before each scrape, what was judged, and the scrapes."""
        return packed(self._tallies, self._books, self._timed)

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; scrapes that are new to it are placed after what was counted."""
        self._tallies, self._books, known, below = unpacked(frames)
        scrapes = {s.start_us: s for s in (*known, *self._timed)}
        self._timed = sorted(scrapes.values(), key=lambda s: s.start_us or 0)[-SCRAPES:]
        self._edges()
        for tally in self._tallies.values():
            tally.begin(self._timed)
            for row, scrape in enumerate(self._timed):
                if (tally.source, scrape.start_us) in below:
                    tally.below[row] = below[tally.source, scrape.start_us]


def compared(earlier: Scrape, later: Scrape, device: str, start: Fence, end: Fence) -> Count | None:
    """The calls of a device between two scrapes against the lines between two fences; None without counters."""
    restarted = later.after_restart(earlier)
    calls, lines, lost, surplus, doubt = [], [], 0, 0, 0
    for at, phase in enumerate(("request", "response")):
        now = later.calls.get((device, phase))
        then = 0 if restarted else earlier.calls.get((device, phase), 0)
        if now is None or now < then:
            return None
        failed = later.failures.get((device, phase), 0) - earlier.failures.get((device, phase), 0)
        least, most = end.least[at] - start.most[at], end.most[at] - start.least[at]
        calls.append(now - then)
        lines.append(most)
        lost += max(0, now - then - max(failed, 0) - most)
        surplus += 0 if restarted else max(0, least - (now - then))
        doubt += most - least + abs(failed)
    exact = not (restarted or lost or surplus) and doubt <= DOUBT
    return Count((calls[0], calls[1]), (lines[0], lines[1]), lost, surplus, exact, start, end, later.end_us or 0)


def _rows(source: str, count: Count, *, same_process: bool = False) -> Iterator[Row]:
    if count.lost:
        yield _row(source, "gap", "counter_mismatch", count.lost, count)
    if count.surplus:
        yield _row(source, "altered" if same_process else "unverifiable", "counter_surplus", count.surplus, count)


def _row(source: str, verdict: str, cause: str, number: int, count: Count) -> Row:
    calls, lines = (f"{asked} requests and {answered} responses" for asked, answered in (count.calls, count.lines))
    return {
        "source": source, "verdict": verdict, "from_position": count.start.position,
        "to_position": count.end.position, "from_time": moment(count.start.start), "to_time": moment(count.end.end),
        "count": number, "evidence": f"between two scrapes the server counted {calls}; there are {lines}",
        "file": count.end.file, "cause": cause, "known": moment(count.settled_us + SETTLE_US),
        "uid": place(source, cause, f"{count.start.start} {count.end.end}"),
    }  # fmt: skip
